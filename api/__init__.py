"""The FastAPI program: banks post transfers, people confirm, orders reach the banks."""
