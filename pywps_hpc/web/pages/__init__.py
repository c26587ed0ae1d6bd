"""The pages for people: server-rendered, usable without scripts, a little alive with them."""
