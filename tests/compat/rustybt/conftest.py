import pytest

from rbt_ray.compat.rustybt import OptimizationConfig

FLAGS = (
    "enable_persistent_worker_pool",
    "enable_shared_bundle_context",
    "enable_bohb_optimizer",
    "enable_ray_scheduler",
)


@pytest.fixture
def flags(tmp_path):
    """A config with these flags on and the others off."""

    def make(*on, **settings):
        config = OptimizationConfig(benchmark_output_dir=str(tmp_path / "studies"), **settings)
        for name in FLAGS:
            setattr(config, name, name in on)
        return config

    return make
