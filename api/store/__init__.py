"""The database behind the api: tables, migrations, and every statement that touches them."""
