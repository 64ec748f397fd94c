"""All operations on products and product categories, with their results and their typed errors."""

import datetime

from moov_case import IS_2026_10, UNKNOWN_ID, MoovCase
from moovio_sdk.models import errors

PRICE = {"currency": "USD", "value_decimal": "4.990"}


class ProductsCase(MoovCase):
    def create(self, **fields):
        fields = {"title": "Lemonade", "base_price": PRICE, **fields}
        return self.moov.products.create(account_id=self.account_id, **fields).result

    def update(self, product, **fields):
        fields = {"title": product.title, "base_price": PRICE, **fields}
        ids = {"account_id": self.account_id, "product_id": product.product_id}
        return self.moov.products.update(**ids, **fields).result

    def list(self, **parameters):
        return self.moov.products.list(account_id=self.account_id, **parameters).result

    def get(self, product):
        return self.moov.products.get(account_id=self.account_id, product_id=product.product_id).result

    def disable(self, product):
        self.moov.products.disable(account_id=self.account_id, product_id=product.product_id)

    def test_create_get_and_list_with_every_field(self):
        lemon = self.upload(self.next_picture(), metadata={"alt_text": "A lemon"})
        syrup = self.upload(self.next_picture())
        created = self.create(
            title="World's best lemonade",
            description="Really, the **best**.",
            images=[{"image_id": lemon.image_id}],
            option_groups=[
                {
                    "name": "Flavours",
                    "description": "Choose one.",
                    "min_select": 0,
                    "max_select": 1,
                    "options": [
                        {
                            "name": "Strawberry",
                            "description": "Fresh.",
                            "price_modifier": {"currency": "USD", "value_decimal": "-0.5"},
                            "images": [{"image_id": syrup.image_id}],
                        },
                        {"name": "Cherry"},
                    ],
                }
            ],
        )
        self.assertEqual(
            (created.title, created.description, created.base_price.value_decimal),
            ("World's best lemonade", "Really, the **best**.", "4.990"),
        )
        image = created.images[0]
        self.assertEqual(
            (image.image_id, image.alt_text, image.link, image.public_id),
            (lemon.image_id, "A lemon", lemon.link, lemon.public_id),
        )
        strawberry, cherry = created.option_groups[0].options
        self.assertEqual(strawberry.price_modifier.value_decimal, "-0.5")
        self.assertEqual((strawberry.images[0].image_id, cherry.images), (syrup.image_id, None))
        self.assertIsInstance(created.created_on, datetime.datetime)
        self.assertIsNone(created.disabled_on)

        self.assertEqual(self.get(created), created)
        self.assertEqual(self.list(title="BEST LEMON", skip=0, count=20), [created])
        self.assertEqual(self.list(title="%"), [])

    def test_update_replaces_and_disable_hides(self):
        lemon = self.upload(self.next_picture())
        created = self.create(title="To replace", description="x", images=[{"image_id": lemon.image_id}])
        updated = self.update(created, title="Replaced")
        self.assertEqual(
            (updated.title, updated.description, updated.images, updated.created_on),
            ("Replaced", None, None, created.created_on),
        )
        for _ in range(2):
            self.disable(created)
        self.assertEqual(self.list(title="Replaced"), [])
        self.assertIsInstance(self.get(created).disabled_on, datetime.datetime)
        error = self.assert_status(409, lambda: self.update(created), errors.GenericError)
        self.assertIn("disabled", error.data.error)

    def test_is_taxable(self):
        if not IS_2026_10:
            # This SDK does not know the field, and ignores it in answers.
            self.assertFalse(hasattr(self.create(title="Book"), "is_taxable"))
            return
        self.assertIs(self.create(title="Taxable").is_taxable, True)
        product = self.create(title="Free of tax", is_taxable=False)
        self.assertIs(product.is_taxable, False)
        self.assertIs(self.update(product).is_taxable, False)
        self.assertIs(self.get(product).is_taxable, False)
        self.assertIs(self.update(product, is_taxable=True).is_taxable, True)
        self.assertIs(self.update(product).is_taxable, True)
        self.assertIs(self.list(title="Free of tax")[0].is_taxable, True)

    def test_categories(self):
        categories = self.moov.products.list_categories().result.categories
        self.assertEqual(
            [(c.category_id, c.name, c.full_name, c.level, c.parent_id) for c in categories],
            [
                ("food", "Food", "Food", 1, None),
                ("drinks", "Drinks", "Food > Drinks", 2, "food"),
                ("clothing", "Clothing", "Clothing", 1, None),
            ],
        )
        _, drinks, clothing = categories
        juice = self.create(title="Juice", category_id="drinks")
        shirt = self.create(title="Shirt", category_id="clothing")
        self.assertEqual((juice.category, shirt.category), (drinks, clothing))
        self.assertEqual(self.list(category="food"), [juice])
        self.assertEqual(self.list(category="drinks"), [juice])
        self.assertEqual(self.list(category="unknown"), [])
        self.assertEqual(self.update(juice, category_id="clothing").category, clothing)
        self.assertIsNone(self.update(juice).category)

        for call in (lambda: self.create(category_id="gone"), lambda: self.update(juice, category_id="gone")):
            error = self.assert_status(422, call, errors.ProductRequestValidationError)
            self.assertIn("category", error.data.category_id)
            self.assertIsNone(error.data.title)

    def test_a_page_without_a_count_has_200_products(self):
        before = len(self.list())
        created = [self.create(title=f"Product {number}") for number in range(201 - before)]
        self.assertEqual(len(self.list()), 200)
        self.assertEqual(len(self.list(skip=200)), 1)
        self.assertEqual(len(self.list(count=500)), 200)
        self.assertEqual(len(self.list(count=7)), 7)
        for product in created:
            self.disable(product)

    def test_invalid_requests(self):
        lemon = self.upload(self.next_picture())
        self.moov.images.delete(account_id=self.account_id, image_id=lemon.image_id)
        invalid = lambda: self.create(  # noqa: E731
            title="",
            description="<b>bold</b>",
            base_price={"currency": "usd", "value_decimal": "1e3"},
            images=[{"image_id": lemon.image_id}],
            option_groups=[
                {
                    "name": "Size",
                    "min_select": 2,
                    "max_select": 1,
                    "options": [{"name": "", "images": [{"image_id": UNKNOWN_ID}]}, {"name": "L"}],
                }
            ],
            category_id="gone",
        )
        data = self.assert_status(422, invalid, errors.ProductRequestValidationError).data
        self.assertIn("blank", data.title)
        self.assertIn("HTML", data.description)
        self.assertIn("ISO 4217", data.base_price.currency)
        self.assertIn("decimal", data.base_price.value_decimal)
        self.assertIn("disabled", data.images["0"].image_id)
        group = data.option_groups["0"]
        self.assertIn("maxSelect", group.min_select)
        self.assertIn("blank", group.options["0"].name)
        self.assertIn("no such image", group.options["0"].images["0"].image_id)
        self.assertIn("category", data.category_id)

    def test_unknown_products_and_accounts(self):
        unknown = {"account_id": self.account_id, "product_id": UNKNOWN_ID}
        products = self.moov.products
        self.assert_status(404, lambda: products.get(**unknown))
        self.assert_status(404, lambda: products.disable(**unknown))
        self.assert_status(404, lambda: products.update(**unknown, title="x", base_price=PRICE))
        self.assert_status(404, lambda: products.list(account_id=UNKNOWN_ID))
