"""A client that stays for the whole story, and says what becomes of its connection.

It connects over TLS with a session that outlives the connection, subscribes at QoS 1, and comes
back by itself. Each event is a line of JSON: {"event": "connected", "session_present": false},
{"event": "subscribed", "granted": [1]}, {"event": "received", "topic": ..., "payload": ...},
{"event": "disconnected", "rc": 7}.

usage: bystander.py HOST PORT CAFILE USERNAME PASSWORD TOPIC
"""

import json
import sys

import paho.mqtt.client as mqtt

host, port, cafile, username, password, topic = sys.argv[1:]


def say(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


def on_connect(client, userdata, flags, rc):
    if rc != mqtt.CONNACK_ACCEPTED:
        say("refused", rc=rc)
        return
    say("connected", session_present=bool(flags["session present"]))
    client.subscribe(topic, qos=1)


def on_subscribe(client, userdata, mid, granted_qos):
    say("subscribed", granted=list(granted_qos))


def on_message(client, userdata, msg):
    say("received", topic=msg.topic, payload=msg.payload.decode())


def on_disconnect(client, userdata, rc):
    say("disconnected", rc=rc)


client = mqtt.Client(client_id="bystander", clean_session=False)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_disconnect = on_disconnect
client.username_pw_set(username, password)
client.tls_set(ca_certs=cafile)
client.reconnect_delay_set(min_delay=1, max_delay=2)
client.connect(host, int(port), 15)
client.loop_forever(retry_first_connection=True)
