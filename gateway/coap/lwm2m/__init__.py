"""LwM2M 1.0, 1.1 and 1.2, server side, and the older direct CoAP of NB-IoT modules: meters that register and are asked.

Pure: links, registration, tokens, formats, downlink, exchange, answers. Of the stream: store. Of the loop: awake,
server, lane.
"""
