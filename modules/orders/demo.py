"""A small catalogue to try things with."""

from django.db import transaction

from modules.orders import commands
from modules.orders.models import Product
from pangaea.messages import Money

CATALOGUE = (
    ("GLOBE-30", "Desk globe, 30 cm", "Political map, on a beech stand.", 5_900, 25),
    ("ATLAS-01", "Pocket atlas", "The world in 160 pages.", 1_999, 120),
    ("COMPASS-2", "Field compass", "Liquid-filled, with a sighting mirror.", 3_450, 60),
    ("FOSSIL-7", "Ammonite, polished", "About 150 million years old. Every piece differs.", 2_750, 12),
    ("HAMMER-1", "Geologist's hammer", "Forged in one piece, with a pointed tip.", 4_200, 40),
    ("LOUPE-10", "Loupe, 10x", "Glass triplet in a steel case.", 2_300, 80),
    ("MAP-PANGAEA", "Wall map of Pangaea", "One landmass, 300 million years ago. 90 x 60 cm.", 1_450, 200),
    ("GEODE-LAST", "Amethyst geode", "The last one of its kind: see what happens when two people want it.", 18_900, 1),
)


def seed(*, credentials: bool) -> list[str]:  # noqa: ARG001 - the signature of every seed; nothing here has a password
    """Add the products that are missing. An existing one is left unchanged, whatever its price and stock."""
    present = set(Product.objects.values_list("sku", flat=True))
    missing = [entry for entry in CATALOGUE if entry[0] not in present]
    for sku, name, description, amount, stock in missing:
        with transaction.atomic(using="orders"):
            commands.add_product(sku=sku, name=name, description=description, price=Money(amount, "EUR"), stock=stock)
    return [f"catalogue: {len(CATALOGUE)} demo products, {len(missing)} of them added"]
