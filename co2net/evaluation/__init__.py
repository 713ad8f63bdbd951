"""How good a reconstruction is: scores, and the report over models, years and regions."""

from co2net.evaluation.metrics import Scores, acc, bias, rmse, rmse_document

__all__ = ["Scores", "acc", "bias", "rmse", "rmse_document"]
