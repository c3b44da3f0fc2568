# grpc_client.py ADDRESS CA COOKIE NAME: gRPC by Google's client over TLS through the gateway. One JSON line a finding.
import json
import sys

import grpc

address, ca, cookie, name = sys.argv[1:]
same = lambda value: value
channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca, "rb").read()),
                              (("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)))
metadata = (("cookie", cookie),)


def saw(what, held, found=""):
    print(json.dumps({"what": what, "held": bool(held), "found": str(found)}), flush=True)


unary = channel.unary_unary("/test.Echo/Unary", same, same)
reply, call = unary.with_call(b"hello", metadata=metadata, timeout=10)
saw("python: a unary call, and who asked", reply == b'hello for Wary::User::"alice"', reply)
saw("python: its trailing metadata", dict(call.trailing_metadata()).get("x-trailing") == "here", call.trailing_metadata())
large = b"x" * 1_000_000
saw("python: a megabyte there and back", unary(large, metadata=metadata, timeout=20).startswith(large))
got = list(channel.unary_stream("/test.Echo/Watch", same, same)(b"some", metadata=metadata, timeout=10))
saw("python: a server's stream", len(got) == 21 and got[20] == b"message 19", len(got))
got = channel.stream_unary("/test.Echo/Gather", same, same)(iter([b"x" * 1000] * 300), metadata=metadata, timeout=10)
saw("python: a client's stream", got == b"300000 bytes", got)
got = list(channel.stream_stream("/test.Echo/Talk", same, same)(iter([b"a", b"b", b"c"]), metadata=metadata, timeout=10))
saw("python: both at once", got == [b"heard a", b"heard b", b"heard c"], got)


def failure(call):
    try:
        call()
        return None, ""
    except grpc.RpcError as error:
        return error.code(), error.details()


code, text = failure(lambda: unary(b"fail", metadata=metadata, timeout=10))
saw("python: the application's own error", code == grpc.StatusCode.FAILED_PRECONDITION and text == "asked to", (code, text))
code, _ = failure(lambda: unary(b"sleep", metadata=metadata, timeout=1))
saw("python: a deadline", code == grpc.StatusCode.DEADLINE_EXCEEDED, code)
code, text = failure(lambda: unary(b"x", timeout=10))
saw("python: nobody is UNAUTHENTICATED", code == grpc.StatusCode.UNAUTHENTICATED, (code, text))
code, text = failure(lambda: channel.unary_unary("/test.Other/Unary", same, same)(b"x", metadata=metadata, timeout=10))
saw("python: an unknown method is UNIMPLEMENTED", code == grpc.StatusCode.UNIMPLEMENTED, (code, text))
watching = channel.unary_stream("/test.Echo/Watch", same, same)(b"silent", metadata=metadata, timeout=60)
next(watching)  # nothing is in a queue after it: a call with bytes on their way is reset instead
print(json.dumps({"ready": True}), flush=True)
code, text = failure(lambda: [None for _ in watching])
saw("python: a revoked stream ends with PERMISSION_DENIED", code == grpc.StatusCode.PERMISSION_DENIED, (code, text))
code, text = failure(lambda: unary(b"x", metadata=metadata, timeout=10))
saw("python: and the next call is refused", code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED), (code, text))
