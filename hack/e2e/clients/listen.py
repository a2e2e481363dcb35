"""The program that everybody writes first: connect, subscribe, loop for ever.

usage: listen.py HOST PORT USERNAME PASSWORD TOPIC
"""

import sys

import paho.mqtt.client as mqtt

host, port, username, password, topic = sys.argv[1:]


def on_connect(client, userdata, flags, rc):
    print(f"connected: {mqtt.connack_string(rc)}", flush=True)
    client.subscribe(topic)


def on_subscribe(client, userdata, mid, granted_qos):
    print(f"subscribed: {granted_qos}", flush=True)


def on_message(client, userdata, msg):
    print(f"received: {msg.topic} {msg.payload.decode()}", flush=True)


client = mqtt.Client()
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.username_pw_set(username, password)
client.connect(host, int(port), 60)
client.loop_forever()
