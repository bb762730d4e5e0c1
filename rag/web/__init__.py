"""The pages before the app: signing in and up, and the gate that lets nobody else through. Starlette, no Streamlit."""
