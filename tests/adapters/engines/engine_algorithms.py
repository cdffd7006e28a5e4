"""The strategy of the tests, as functions and as a class, for the installed engine."""

import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path

INSTALLED = [name for name in ("zipline", "rustybt") if importlib.util.find_spec(name)]
PACKAGE = INSTALLED[0] if INSTALLED else "neither zipline nor rustybt"
SYMBOLS = ("AAPL", "MSFT")


def api(name):
    return getattr(importlib.import_module(f"{PACKAGE}.api"), name)


def initialize(context, fast, slow):
    context.assets = [api("symbol")(symbol) for symbol in SYMBOLS]
    context.fast, context.slow = fast, slow


def handle_data(context, data):
    for asset in context.assets:
        prices = data.history(asset, "price", context.slow, "1d")
        rises = prices.iloc[-context.fast :].mean() > prices.mean()
        api("order_target_percent")(asset, rises / len(context.assets))


def crossover():
    """Returns the same strategy as a class, in which the engine's functions are methods."""
    base = importlib.import_module(f"{PACKAGE}.algorithm").TradingAlgorithm

    class Crossover(base):
        def initialize(self, fast, slow):
            self.assets = [self.symbol(symbol) for symbol in SYMBOLS]
            self.fast, self.slow = fast, slow

        def handle_data(self, data):
            for asset in self.assets:
                prices = data.history(asset, "price", self.slow, "1d")
                rises = prices.iloc[-self.fast :].mean() > prices.mean()
                self.order_target_percent(asset, rises / len(self.assets))

    return Crossover


def holder():
    """Returns a class that holds a share of its money in the first symbol and needs no history."""
    base = importlib.import_module(f"{PACKAGE}.algorithm").TradingAlgorithm

    class Holder(base):
        def initialize(self, share):
            self.asset, self.share = self.symbol(SYMBOLS[0]), share

        def handle_data(self, data):
            self.order_target_percent(self.asset, self.share)

    return Holder


def initialize_with_pipeline(context, window):
    pipeline = importlib.import_module(f"{PACKAGE}.pipeline")
    pricing = importlib.import_module(f"{PACKAGE}.pipeline.data").USEquityPricing
    average = importlib.import_module(f"{PACKAGE}.pipeline.factors").SimpleMovingAverage
    mean = average(inputs=[pricing.close], window_length=window)
    api("attach_pipeline")(pipeline.Pipeline(columns={"mean": mean}), "means")


def before_trading_start(context, data):
    context.means = api("pipeline_output")("means")["mean"]


def hold_the_dearest(context, data):
    dearest = context.means.idxmax()
    for asset in context.means.index:
        api("order_target_percent")(asset, float(asset is dearest))


def initialize_and_tell(context, fast, slow, notes):
    """Appends a line to `notes`: how many portals and asset finders this process has seen, and how many databases it opened."""
    seen = sys.__dict__.setdefault("_seen_by_the_tests", {"portals": [], "finders": [], "databases": 0})
    if not seen["portals"]:
        sys.addaudithook(lambda event, _: seen.update(databases=seen["databases"] + (event == "sqlite3.connect")))
    for name, thing in (("portals", context.data_portal), ("finders", context.asset_finder)):
        if not any(thing is other for other in seen[name]):  # keeps it alive, so that no other object gets its address
            seen[name].append(thing)
    line = {"pid": os.getpid(), "portals": len(seen["portals"]), "finders": len(seen["finders"])}
    with Path(notes).open("a") as file:
        file.write(json.dumps({**line, "databases": seen["databases"]}) + "\n")
    initialize(context, fast, slow)


def kill_its_worker_once(context, fast, slow, note):
    """Kills its process the first time that the config is (7, 30)."""
    if (fast, slow) == (7, 30):
        try:
            os.close(os.open(note, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), 9)
    initialize(context, fast, slow)
