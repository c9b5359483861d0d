"""What the worker means: models, ports, outcomes, and the loops that only execute decisions.

Lowest last::

    accounts outbound history heartbeat pending    loops, one supervised child each
    account                                a child for each account, made of
        line_crew                          what runs while a line is held:
        keepalive inbound senders sender   its parts: they share the account's line
        history_reader resolver introducing naming listening
        gate                               lets messages through when they may leave
        recorder account_context           its state on its way to the store, what all accounts share
    dispatch desk history_desk             attempts between claim and settle, history jobs
    bounded side_pulse traffic             calls to the store under their deadline, outages outlasted
    ports store_ports books                Protocols that adapters fill: for the loops, for the commands
    events                                 what the loops report
    transcoding                            what is asked of whoever converts media files
    file_kinds file_names content_types    what a file is sent as, may be called and is served as: pure
    planning splitting clusters            a long text as the messages that it takes: pure
    pacing                                 when something may be sent: pure
    hearing                                when a line is deaf, and what is tried then: pure
    history_reading history_words          how far a history is read, why a job ended: pure
    outcomes models formatted errors limits    values

Standard library and trio only: the room knows neither Telethon nor a database nor `tgworker.supervision`.
"""
