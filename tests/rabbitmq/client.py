"""A client in Python that has never heard of aury-events: `client.py publish|read URL EXCHANGE`."""

import datetime
import json
import sys
import uuid

import pika


def attributes(**others):
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/python",
        "type": "interop.order",
        "tenant": "acme",
        **others,
    }


def publish(channel, exchange):
    """One event in each form that is understood."""
    channel.confirm_delivery()

    def send(body, **properties):
        properties = pika.BasicProperties(delivery_mode=2, **properties)
        body = json.dumps(body).encode()
        channel.basic_publish(exchange, "interop.order", body, properties, mandatory=True)

    structured = attributes(datacontenttype="application/json", data={"number": 1})
    send(structured, content_type="application/cloudevents+json")
    for number, prefix in ((2, "cloudEvents:"), (3, "cloudEvents_"), (4, "ce-")):
        time = datetime.datetime.now(datetime.timezone.utc).isoformat()
        headers = {prefix + name: value for name, value in attributes(time=time).items()}
        send({"number": number}, content_type="application/json", headers=headers)
    send(
        {
            "id": str(uuid.uuid4()),
            "event_name": "interop.order",
            "timestamp": datetime.datetime.now().isoformat(),
            "metadata": {"tenant": "acme"},
            "data": {"number": 5},
        }
    )
    send({"number": 6})


def read(channel, exchange):
    """Prints what comes, one JSON text a line, until standard output is closed."""
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, exchange, "#")
    print("ready", flush=True)
    for method, properties, body in channel.consume(queue):
        message = {
            "routing_key": method.routing_key,
            "content_type": properties.content_type,
            "delivery_mode": properties.delivery_mode,
            "message_id": properties.message_id,
            "body": json.loads(body),
        }
        print(json.dumps(message), flush=True)
        channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    command, url, exchange = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    {"publish": publish, "read": read}[command](connection.channel(), exchange)
    connection.close()
