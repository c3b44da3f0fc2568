"""Asks a SPIFFE Workload API by Google's gRPC: client.py SOCKET WHAT. One JSON line for each thing that was seen.

The messages are described here, with the field numbers of the specification.
  all          every method once
  bundles      the bundles of every method that gives some
  token A      a token for audience A; validate A TOKEN: whether it is one
  stream       every message of FetchX509SVID until the stream ends
  flood        400 tokens as fast as it can, then one after a second
  exit         connects, passes the connection to a child, and ends; the child asks by it
  exec         connects, becomes another program, and that one asks by it
"""
import base64
import json
import os
import socket
import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2  # noqa: F401

F = descriptor_pb2.FieldDescriptorProto


def describe():
    file = descriptor_pb2.FileDescriptorProto(name="w.proto", package="w", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    types = {"string": F.TYPE_STRING, "bytes": F.TYPE_BYTES}

    def message(name, *fields):
        into = file.message_type.add(name=name)
        for number, kind, field in fields:
            one = into.field.add(name=field, number=number, label=F.LABEL_REPEATED if kind.startswith("*") else F.LABEL_OPTIONAL)
            kind = kind.lstrip("*")
            if kind in types:
                one.type = types[kind]
            else:
                one.type, one.type_name = F.TYPE_MESSAGE, kind if kind.startswith(".") else ".w." + kind

    message("Nothing")
    message("Bundle", (1, "string", "key"), (2, "bytes", "value"))
    message("X509SVID", (1, "string", "spiffe_id"), (2, "bytes", "x509_svid"), (3, "bytes", "x509_svid_key"), (4, "bytes", "bundle"),
            (5, "string", "hint"))
    message("X509SVIDs", (1, "*X509SVID", "svids"), (3, "*Bundle", "federated_bundles"))
    message("X509Bundles", (2, "*Bundle", "bundles"))
    message("JWTRequest", (1, "*string", "audience"), (2, "string", "spiffe_id"))
    message("JWTSVID", (1, "string", "spiffe_id"), (2, "string", "svid"), (3, "string", "hint"))
    message("JWTSVIDs", (1, "*JWTSVID", "svids"))
    message("JWTBundles", (1, "*Bundle", "bundles"))
    message("ValidateRequest", (1, "string", "audience"), (2, "string", "svid"))
    message("Validated", (1, "string", "spiffe_id"), (2, ".google.protobuf.Struct", "claims"))
    pool = descriptor_pool.Default()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName("w." + name))


make = describe()
METADATA = (("workload.spiffe.io", "true"),)


def say(**what):
    print(json.dumps(what), flush=True)


def text(raw):
    return base64.b64encode(raw).decode()


def svids(answer):
    return [{"id": s.spiffe_id, "chain": text(s.x509_svid), "key": text(s.x509_svid_key), "bundle": text(s.bundle), "hint": s.hint}
            for s in answer.svids]


class Api:
    def __init__(self, path):
        self.channel = grpc.insecure_channel("unix:" + path)

    def call(self, name, request, answer, stream, metadata=METADATA, timeout=10):
        kind = self.channel.unary_stream if stream else self.channel.unary_unary
        method = kind("/SpiffeWorkloadAPI/" + name, request_serializer=lambda m: m.SerializeToString(), response_deserializer=make(answer).FromString)
        return method(request, metadata=metadata, timeout=timeout)

    def code(self, name, request, answer, stream, **more):
        try:
            result = self.call(name, request, answer, stream, **more)
            if stream:
                next(iter(result))
            return "OK"
        except grpc.RpcError as error:
            return error.code().name


def every_method(api):
    nothing = make("Nothing")()
    say(what="x509", svids=svids(next(iter(api.call("FetchX509SVID", nothing, "X509SVIDs", True)))))
    bundles = next(iter(api.call("FetchX509Bundles", nothing, "X509Bundles", True))).bundles
    say(what="x509_bundles", bundles={b.key: text(b.value) for b in bundles})
    bundles = next(iter(api.call("FetchJWTBundles", nothing, "JWTBundles", True))).bundles
    say(what="jwt_bundles", bundles={b.key: json.loads(b.value) for b in bundles})
    tokens = api.call("FetchJWTSVID", make("JWTRequest")(audience=["db", "cache"]), "JWTSVIDs", False).svids
    say(what="jwt", tokens=[{"id": t.spiffe_id, "token": t.svid, "hint": t.hint} for t in tokens])
    valid = api.call("ValidateJWTSVID", make("ValidateRequest")(audience="db", svid=tokens[0].svid), "Validated", False)
    say(what="valid", id=valid.spiffe_id, aud=list(valid.claims["aud"]), exp=valid.claims["exp"])
    codes = {
        "other audience": api.code("ValidateJWTSVID", make("ValidateRequest")(audience="x", svid=tokens[0].svid), "Validated", False),
        "tampered": api.code("ValidateJWTSVID", make("ValidateRequest")(audience="db", svid=tokens[0].svid[:-4] + "AAAA"), "Validated", False),
        "no audience": api.code("FetchJWTSVID", make("JWTRequest")(), "JWTSVIDs", False),
        "other identity": api.code("FetchJWTSVID", make("JWTRequest")(audience=["a"], spiffe_id="spiffe://local/x/y"), "JWTSVIDs", False),
        "no metadata": api.code("FetchX509SVID", nothing, "X509SVIDs", True, metadata=()),
        "wrong metadata": api.code("FetchX509SVID", nothing, "X509SVIDs", True, metadata=(("workload.spiffe.io", "yes"),)),
        "WIT-SVID": api.code("FetchWITSVID", nothing, "Nothing", False),
        "WIT bundles": api.code("FetchWITBundles", nothing, "Nothing", True),
        "no method": api.code("Nothing", nothing, "Nothing", False),
    }
    say(what="codes", codes=codes)


def federated(api):
    nothing = make("Nothing")()
    with_svid = next(iter(api.call("FetchX509SVID", nothing, "X509SVIDs", True))).federated_bundles
    x509 = next(iter(api.call("FetchX509Bundles", nothing, "X509Bundles", True))).bundles
    jwt = next(iter(api.call("FetchJWTBundles", nothing, "JWTBundles", True))).bundles
    say(what="bundles", federated={b.key: text(b.value) for b in with_svid}, x509={b.key: text(b.value) for b in x509},
        jwt={b.key: json.loads(b.value) for b in jwt})


def validate(api, audience, token):
    try:
        seen = api.call("ValidateJWTSVID", make("ValidateRequest")(audience=audience, svid=token), "Validated", False)
        say(what="validate", code="OK", id=seen.spiffe_id)
    except grpc.RpcError as error:
        say(what="validate", code=error.code().name, details=error.details())


def stream(api):
    begin = time.monotonic()
    try:
        for answer in api.call("FetchX509SVID", make("Nothing")(), "X509SVIDs", True, timeout=120):
            say(what="message", ids=[s.spiffe_id for s in answer.svids], svids=svids(answer), at=time.time())
    except grpc.RpcError as error:
        say(what="end", code=error.code().name, details=error.details(), seconds=time.monotonic() - begin)


# The first bytes of a connection that asks for an X509-SVID, made by hand: a connection that can be passed around.
def question():
    def frame(kind, flags, number, payload):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload

    def field(name, value):
        return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

    head = b"".join(field(*pair) for pair in (
        (":method", "POST"), (":scheme", "http"), (":path", "/SpiffeWorkloadAPI/FetchX509SVID"), (":authority", "localhost"),
        ("content-type", "application/grpc"), ("te", "trailers"), ("workload.spiffe.io", "true")))
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, head) + frame(0, 1, 1, b"\x00" * 5)


def heard(connection):
    """All that comes within two seconds; a private key's marks are looked for in it."""
    connection.settimeout(2)
    got = b""
    try:
        while True:
            part = connection.recv(65536)
            if not part:
                return got, True
            got += part
    except (TimeoutError, socket.timeout):
        return got, False
    except OSError:
        return got, True


def report(name, connection):
    got, ended = heard(connection)
    say(what=name, bytes=len(got), ended=ended, has_id=b"spiffe://" in got, denied=b"grpc-status" in got or ended)


def main():
    path, what = sys.argv[1], sys.argv[2]
    if what == "all":
        return every_method(Api(path))
    if what == "stream":
        return stream(Api(path))
    if what == "flood":
        api = Api(path)
        codes = [api.code("FetchJWTSVID", make("JWTRequest")(audience=["db"]), "JWTSVIDs", False) for _ in range(400)]
        time.sleep(1)
        return say(what="flood", first=codes[0], codes={code: codes.count(code) for code in set(codes)},
                   after=api.code("FetchJWTSVID", make("JWTRequest")(audience=["db"]), "JWTSVIDs", False))
    if what == "bundles":
        return federated(Api(path))
    if what == "token":
        tokens = Api(path).call("FetchJWTSVID", make("JWTRequest")(audience=[sys.argv[3]]), "JWTSVIDs", False).svids
        return say(what="token", id=tokens[0].spiffe_id, token=tokens[0].svid)
    if what == "validate":
        return validate(Api(path), sys.argv[3], sys.argv[4])
    if what == "code":
        say(what="code", code=Api(path).code("FetchX509SVID", make("Nothing")(), "X509SVIDs", True))
        return None
    if what == "asked":  # by a connection that this process was given
        connection = socket.socket(fileno=int(sys.argv[3]))
        try:
            connection.sendall(question())
        except OSError:
            pass
        return report("asked", connection)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.set_inheritable(True)
    if what == "raw":
        connection.sendall(question())
        return report("raw", connection)
    if what == "exit":
        if os.fork() != 0:
            os._exit(0)
        while os.getppid() == PARENT:
            time.sleep(0.01)
        time.sleep(0.3)
        try:
            connection.sendall(question())
        except OSError:
            pass  # ended already: nothing can come by it
        return report("exit", connection)
    if what == "exec":
        time.sleep(0.3)
        os.execv(sys.argv[3], [sys.argv[3], __file__, path, "asked", str(connection.fileno())])
    return None


PARENT = os.getpid()
main()
