"""Optical-flow estimators: parts of model families that can also be used on their own."""
