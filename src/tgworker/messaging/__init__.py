"""What the worker means: models, ports, outcomes, and the loops that only execute decisions.

Lowest last::

    accounts outbound heartbeat pending    loops, one supervised child each
    account                                a child for each account, made of
        keepalive inbound sender recorder  its parts: they share the account's line
        gate                               lets messages through when they may leave
        listening
    dispatch                               attempts between claim and settle
    bounded side_pulse                     calls to the store under their deadline, outages outlasted
    ports books                            Protocols that adapters fill: for the loops, for the commands
    events                                 what the loops report
    planning splitting clusters            a long text as the messages that it takes: pure
    pacing                                 when something may be sent: pure
    hearing                                when a line is deaf, and what is tried then: pure
    outcomes models formatted errors limits    values

Standard library and trio only: the room knows neither Telethon nor a database nor `tgworker.supervision`.
"""
