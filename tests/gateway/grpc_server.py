# An application that speaks gRPC: prints its port on loopback. Messages are raw bytes; it answers with what it was sent, and with
# who asked by the gateway's word.
import sys
import time
from concurrent import futures

import grpc

same = lambda value: value


def who(context):
    return dict(context.invocation_metadata()).get("wary-principal", "nobody").encode()


def unary(request, context):
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "asked to")
    if request == b"sleep":
        time.sleep(5)
    context.set_trailing_metadata((("x-trailing", "here"),))
    return request + b" for " + who(context)


def watch(request, context):
    yield b"first for " + who(context)
    count = 0
    while request == b"silent" and context.is_active():
        time.sleep(0.05)
    while context.is_active() and count < 20:
        yield b"message %d" % count
        count += 1


def gather(requests, context):
    return b"%d bytes" % sum(len(each) for each in requests)


def talk(requests, context):
    for each in requests:
        yield b"heard " + each


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        kinds = {
            "/test.Echo/Unary": lambda: grpc.unary_unary_rpc_method_handler(unary, same, same),
            "/test.Echo/Watch": lambda: grpc.unary_stream_rpc_method_handler(watch, same, same),
            "/test.Echo/Gather": lambda: grpc.stream_unary_rpc_method_handler(gather, same, same),
            "/test.Echo/Talk": lambda: grpc.stream_stream_rpc_method_handler(talk, same, same),
        }
        kind = kinds.get(details.method)
        return kind() if kind else None


server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
server.add_generic_rpc_handlers((Handler(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
