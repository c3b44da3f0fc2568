"""Asks a socket envoy.service.auth.v3.Authorization/Check as Envoy does, by Google's gRPC: envoy.py SOCKET COOKIE HOST.

The messages are described here, with the field numbers of Envoy's API. One JSON line for each thing that was seen.
"""
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
TYPES = {"string": F.TYPE_STRING, "int32": F.TYPE_INT32, "bool": F.TYPE_BOOL}


def describe():
    file = descriptor_pb2.FileDescriptorProto(name="check.proto", package="t", syntax="proto3")

    def message(name, *fields):
        into = file.message_type.add(name=name)
        for number, kind, field in fields:
            repeated = kind.startswith("*")
            kind = kind.lstrip("*")
            one = into.field.add(name=field, number=number, label=F.LABEL_REPEATED if repeated else F.LABEL_OPTIONAL)
            if kind in TYPES:
                one.type = TYPES[kind]
            else:
                one.type, one.type_name = F.TYPE_MESSAGE, ".t." + kind

    message("SocketAddress", (2, "string", "address"), (3, "int32", "port_value"))
    message("Address", (1, "SocketAddress", "socket_address"))
    message("Peer", (1, "Address", "address"), (2, "string", "service"), (4, "string", "principal"))
    message("Entry", (1, "string", "key"), (2, "string", "value"))
    message("HttpRequest", (1, "string", "id"), (2, "string", "method"), (3, "*Entry", "headers"), (4, "string", "path"),
            (5, "string", "host"), (6, "string", "scheme"), (10, "string", "protocol"))
    message("Request", (2, "HttpRequest", "http"))
    message("AttributeContext", (1, "Peer", "source"), (2, "Peer", "destination"), (4, "Request", "request"))
    message("CheckRequest", (1, "AttributeContext", "attributes"))
    message("Option", (1, "Entry", "header"), (3, "int32", "append_action"))
    message("HttpStatus", (1, "int32", "code"))
    message("Denied", (1, "HttpStatus", "status"), (2, "*Option", "headers"), (3, "string", "body"))
    message("Ok", (2, "*Option", "headers"), (5, "*string", "headers_to_remove"))
    message("Status", (1, "int32", "code"), (2, "string", "message"))
    message("CheckResponse", (1, "Status", "status"), (2, "Denied", "denied"), (3, "Ok", "ok"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    return lambda name: factory.GetPrototype(pool.FindMessageTypeByName("t." + name))


def main(socket, cookie, host):
    of = describe()
    request_type, response_type = of("CheckRequest"), of("CheckResponse")
    channel = grpc.insecure_channel("unix:" + socket)
    name = "/envoy.service.auth.v3.Authorization/Check"
    check = channel.unary_unary(name, request_type.SerializeToString, response_type.FromString)

    def question(method, cookies, path="/a?b=c", **more):
        out = request_type()
        http = out.attributes.request.http
        http.id, http.method, http.path, http.host, http.scheme, http.protocol = "1", method, path, host, "https", "HTTP/2"
        for key, value in {":path": path, "user-agent": "test", **({"cookie": cookies} if cookies else {})}.items():
            http.headers.add(key=key, value=value)
        out.attributes.source.address.socket_address.address = "10.0.0.7"
        out.attributes.source.principal = more.get("principal", "")
        return out

    def saw(what, held, found=""):
        print(json.dumps({"what": what, "held": bool(held), "found": str(found)[:500]}), flush=True)

    yes = check(question("GET", cookie), timeout=60, wait_for_ready=True)
    headers = {one.header.key: one.header.value for one in yes.ok.headers}
    saw("alice may read and is named", yes.status.code == 0 and headers.get("wary-principal") == 'Wary::User::"alice"', yes)
    saw("the header overwrites a client's", all(one.append_action == 2 for one in yes.ok.headers), yes)
    no = check(question("POST", cookie), timeout=60)
    saw("alice may not write", no.status.code == 7 and no.denied.status.code == 403 and not no.ok.headers, no)
    nobody = check(question("GET", ""), timeout=60)
    saw("nobody gets 401", nobody.status.code == 7 and nobody.denied.status.code == 401, nobody)
    stranger = check(question("GET", "", principal="spiffe://elsewhere/a"), timeout=60)
    saw("a workload that is not registered is nobody", stranger.denied.status.code == 401, stranger)
    with ThreadPoolExecutor(8) as pool:
        many = list(pool.map(lambda _: check(question("GET", cookie), timeout=60).status.code, range(200)))
    saw("two hundred over one connection", many == [0] * 200, sum(many))

    def code(method, body, **more):
        try:
            channel.unary_unary(method)(body, timeout=60, **more)
            return None
        except grpc.RpcError as error:
            return error.code()

    saw("another method is unimplemented", code("/a.B/C", b"") == grpc.StatusCode.UNIMPLEMENTED)
    saw("what is no CheckRequest is invalid", code(name, b"\x0a\x05") == grpc.StatusCode.INVALID_ARGUMENT)
    large = code(name, b"\x12" + b"\xff\xff\x7f" + b"x" * 2097151)
    saw("too large a message is refused", large is not None, large)
    saw("a compressed one is unimplemented",
        code(name, question("GET", cookie).SerializeToString() * 40, compression=grpc.Compression.Gzip) == grpc.StatusCode.UNIMPLEMENTED)
    saw("and the connection goes on", check(question("GET", cookie), timeout=60).status.code == 0)


main(*sys.argv[1:])
