"""Asks a SPIFFE Workload API by Google's gRPC: client.py SOCKET WHAT. One JSON line for each thing that was seen.

The messages are described here, with the field numbers of the specification.
  all          every method once
  bundles      the bundles of every method that gives some
  secrets N..  every answer of Envoy's StreamSecrets for these names until the stream ends; `refuse` first: the second is refused
  fetched N..  what FetchSecrets gives for these names
  reflect S..  by reflection (v1, v1alpha): the services, and the messages of the files that have these symbols
  token A      a token for audience A; validate A TOKEN: whether it is one
  stream       every message of FetchX509SVID until the stream ends
  flood        400 tokens as fast as it can, then one after a second
  exit         connects, passes the connection to a child, and ends; the child asks by it
  exec         connects, becomes another program, and that one asks by it
"""
import base64
import json
import os
import queue
import socket
import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2  # noqa: F401

F = descriptor_pb2.FieldDescriptorProto


def describe():
    file = descriptor_pb2.FileDescriptorProto(name="w.proto", package="w", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    types = {"string": F.TYPE_STRING, "bytes": F.TYPE_BYTES, "int32": F.TYPE_INT32}

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
    message("Any", (1, "string", "type_url"), (2, "bytes", "value"))
    message("Status", (1, "int32", "code"), (2, "string", "message"))
    message("Ask", (1, "string", "version_info"), (3, "*string", "resource_names"), (4, "string", "type_url"), (5, "string", "response_nonce"),
            (6, "Status", "error_detail"))
    message("Answer", (1, "string", "version_info"), (2, "*Any", "resources"), (4, "string", "type_url"), (5, "string", "nonce"))
    message("Source", (2, "bytes", "inline_bytes"))
    message("Pair", (1, "Source", "certificate_chain"), (2, "Source", "private_key"))
    message("Extension", (1, "string", "name"), (2, "Any", "typed_config"))
    message("Context", (1, "Source", "trusted_ca"), (12, "Extension", "custom_validator_config"))
    message("Secret", (1, "string", "name"), (2, "Pair", "tls_certificate"), (4, "Context", "validation_context"))
    message("TrustDomain", (1, "string", "name"), (2, "Source", "trust_bundle"))
    message("Validator", (1, "*TrustDomain", "trust_domains"))
    message("Question", (3, "string", "file_by_filename"), (4, "string", "file_containing_symbol"), (7, "string", "list_services"))
    message("Files", (1, "*bytes", "file_descriptor_proto"))
    message("Service", (1, "string", "name"))
    message("Services", (1, "*Service", "service"))
    message("Error", (1, "int32", "error_code"), (2, "string", "error_message"))
    message("Told", (4, "Files", "file_descriptor_response"), (6, "Services", "list_services_response"), (7, "Error", "error_response"))
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


SECRETS = "/envoy.service.secret.v3.SecretDiscoveryService/"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def secret_of(resource):
    secret = make("Secret").FromString(resource.value)
    out = {"name": secret.name, "type": resource.type_url}
    if secret.HasField("tls_certificate"):
        out.update(chain=secret.tls_certificate.certificate_chain.inline_bytes.decode(), key=secret.tls_certificate.private_key.inline_bytes.decode())
    elif secret.validation_context.HasField("custom_validator_config"):
        custom = secret.validation_context.custom_validator_config
        validator = make("Validator").FromString(custom.typed_config.value)
        out.update(validator=custom.name, domains={d.name: d.trust_bundle.inline_bytes.decode() for d in validator.trust_domains})
    else:
        out.update(roots=secret.validation_context.trusted_ca.inline_bytes.decode())
    return out


def ask(names, **more):
    return make("Ask")(resource_names=names, type_url=SECRET_TYPE, **more)


def secrets(api, names, refuses):
    """Each answer is taken, but the second when `refuses`."""
    to_send = queue.Queue()
    to_send.put(ask(names))
    call = api.channel.stream_stream(SECRETS + "StreamSecrets", request_serializer=lambda m: m.SerializeToString(),
                                     response_deserializer=make("Answer").FromString)
    seen = 0
    try:
        for answer in call(iter(to_send.get, None), timeout=120):
            seen += 1
            say(what="secrets", version=answer.version_info, nonce=answer.nonce, secrets=[secret_of(r) for r in answer.resources])
            if refuses and seen == 2:
                to_send.put(ask(names, version_info="1", response_nonce=answer.nonce, error_detail=make("Status")(code=3, message="not this one")))
            else:
                to_send.put(ask(names, version_info=answer.version_info, response_nonce=answer.nonce))
    except grpc.RpcError as error:
        say(what="end", code=error.code().name, details=error.details())
    to_send.put(None)


def fetched(api, names):
    call = api.channel.unary_unary(SECRETS + "FetchSecrets", request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=make("Answer").FromString)
    try:
        answer = call(ask(names), timeout=10)
        say(what="fetched", code="OK", version=answer.version_info, secrets=[secret_of(r) for r in answer.resources])
    except grpc.RpcError as error:
        say(what="fetched", code=error.code().name, details=error.details())


def stream_codes(api):
    """How streams end that nobody answers, or that say what is no request."""
    def code(method, *requests):
        call = api.channel.stream_stream(method, request_serializer=lambda m: m, response_deserializer=lambda m: m)
        try:
            for _ in call(iter(requests), timeout=10):
                pass
            return "OK"
        except grpc.RpcError as error:
            return error.code().name
    good = ask(["default"]).SerializeToString()
    say(what="stream_codes", codes={
        "delta": code(SECRETS + "DeltaSecrets", good),
        "malformed": code(SECRETS + "StreamSecrets", b"\x1a\x7f"),
        "clusters": code(SECRETS + "StreamSecrets", make("Ask")(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster").SerializeToString()),
        "ended": code(SECRETS + "StreamSecrets", good),
        "nothing": code(SECRETS + "StreamSecrets"),
        "another's": code(SECRETS + "StreamSecrets", ask(["spiffe://local/shop/other"]).SerializeToString()),
        "endless": code(SECRETS + "StreamSecrets", *[ask(["default"], response_nonce="x").SerializeToString()] * 500),
    })


def reflect(api, symbols):
    for version in ("v1", "v1alpha"):
        call = api.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                         request_serializer=lambda m: m.SerializeToString(), response_deserializer=make("Told").FromString)
        questions = [make("Question")(list_services="*")] + [make("Question")(file_containing_symbol=one) for one in symbols]
        told = list(call(iter(questions), timeout=10))
        pool = descriptor_pool.DescriptorPool()  # google.protobuf's own reading of the files; imports come after
        left = {}
        for one in told[1:]:
            for raw in one.file_descriptor_response.file_descriptor_proto:
                file = descriptor_pb2.FileDescriptorProto.FromString(raw)
                left[file.name] = file
        while left:
            ready = [f for f in left.values() if not any(d in left for d in f.dependency)]
            for file in ready:
                pool.Add(file)
                del left[file.name]
        found = {}
        for symbol, one in zip(symbols, told[1:]):
            if one.HasField("error_response"):
                found[symbol] = one.error_response.error_code
                continue
            try:
                found[symbol] = [m.name for m in pool.FindServiceByName(symbol).methods]
            except KeyError:
                found[symbol] = [f.name for f in pool.FindMessageTypeByName(symbol).fields]
        say(what=version, services=[s.name for s in told[0].list_services_response.service], found=found)


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
    if what == "secrets":
        refuses = sys.argv[3:4] == ["refuse"]
        return secrets(Api(path), sys.argv[4:] if refuses else sys.argv[3:], refuses)
    if what == "fetched":
        return fetched(Api(path), sys.argv[3:])
    if what == "stream_codes":
        return stream_codes(Api(path))
    if what == "reflect":
        return reflect(Api(path), sys.argv[3:])
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
