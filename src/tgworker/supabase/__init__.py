"""Adapter: the application's database behind Supabase's REST API; the only room that knows httpx.

Lowest last::

    heartbeat    worker_heartbeats, as the plan has it
    rest         requests to PostgREST: keys, bounded connections, torn connections
    errors       the one table that translates what httpx and PostgREST say
"""
