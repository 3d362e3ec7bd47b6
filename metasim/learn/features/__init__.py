"""Feature extractors: images to the vectors that the discrepancy compares."""

from metasim.learn.features.base import Combined, FeatureExtractor, extract
from metasim.learn.features.make import Taught, make_features, teach_near
from metasim.learn.features.pretrained import PretrainedFeatures
from metasim.learn.features.saved import describe_features, restore_features
from metasim.learn.features.simple import PixelFeatures, RandomConvFeatures
from metasim.learn.features.simulator import SimulatorNetwork
from metasim.learn.features.tasknet import TaskNetFeatures
from metasim.learn.features.teach import Grade
from metasim.learn.features.wide import Classroom

__all__ = [
    "Classroom",
    "Combined",
    "FeatureExtractor",
    "Grade",
    "PixelFeatures",
    "PretrainedFeatures",
    "RandomConvFeatures",
    "SimulatorNetwork",
    "TaskNetFeatures",
    "Taught",
    "describe_features",
    "extract",
    "make_features",
    "restore_features",
    "teach_near",
]
