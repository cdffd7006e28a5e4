def plane(params, data):
    return {"score": (params["x"] - 1) ** 2 + abs(params["y"] + params["x"]) + params["n"] / 1000}
