"""What the worker means: models, ports, outcomes, and the loops that only execute decisions.

Lowest last::

    accounts outbound account history jobs heartbeat    the loops: one supervised child each
    dispatch                                            attempts between claim and settle
    backoff keepalive                                   decisions, pure
    ports                                               Protocols that adapters and the composition root fill
    outcomes models errors limits                       values

Standard library and trio only: the room knows neither Telethon nor a database nor `tgworker.supervision`.
"""
