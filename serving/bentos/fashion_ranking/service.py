"""Rankings of a fashion campaign, one bundle alone."""

from serving.service import make_service

FashionRanking = make_service("fashion_ranking")
