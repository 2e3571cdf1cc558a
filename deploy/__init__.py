"""Deployments of Pangaea."""
