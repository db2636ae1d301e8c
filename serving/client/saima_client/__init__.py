"""Client of Saima's algorithm hosts."""

from saima_client.client import Client
from saima_client.clusters import Clusters, read_clusters
from saima_client.errors import BudgetSpent, PredictionError, Refused

__all__ = ["BudgetSpent", "Client", "Clusters", "PredictionError", "Refused", "read_clusters"]
