"""What runs in the browser. Streamlit finds the component `corpuscope.map` by this package's name (pyproject.toml)."""
