"""Version 1: accounts and tokens. The two stand at different paths, hence in different files."""
