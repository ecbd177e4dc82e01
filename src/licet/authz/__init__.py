"""Authorization: scopes become grants, grants become decisions."""
