"""The container images that jobs run in: built here, and looked into."""
