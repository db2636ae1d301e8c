"""Models for hosts elsewhere: what a declaration's `remote` asks."""

from serving.service import make_models_service

Models = make_models_service()
