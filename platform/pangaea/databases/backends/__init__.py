"""Django's database backends, as far as they have to be others here."""
