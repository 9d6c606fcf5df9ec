"""Metrics of generated images: functions of features, and the features."""
