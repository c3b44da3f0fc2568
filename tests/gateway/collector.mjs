// A collector: prints its port, then each span and each metric's point that it is sent as a line of JSON, read by OpenTelemetry's own
// generated code. The first request it refuses as one that is busy would.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const proto = createRequire(import.meta.url)("@opentelemetry/otlp-transformer/build/src/generated/root").opentelemetry.proto.collector;
const say = (line) => console.log(JSON.stringify(line));
const plain = (attributes) => Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.boolValue ?? Number(value.intValue)]));
const hex = (bytes) => Buffer.from(bytes ?? []).toString("hex");
let busy = true;

const server = createServer((request, response) => {
  const pieces = [];
  request.on("data", (bytes) => pieces.push(bytes));
  request.on("end", () => {
    if (busy) return (busy = false), response.writeHead(503, { "Retry-After": "1" }).end();
    if (request.method !== "POST" || request.headers["content-type"] !== "application/x-protobuf") return response.writeHead(415).end();
    const body = Buffer.concat(pieces), type = { "Content-Type": "application/x-protobuf" };
    if (request.url === "/v1/traces") {
      for (const group of proto.trace.v1.ExportTraceServiceRequest.decode(body).resourceSpans) {
        const resource = plain(group.resource.attributes);
        for (const scoped of group.scopeSpans) for (const span of scoped.spans) {
          say({ span: span.name, kind: span.kind, trace: hex(span.traceId), id: hex(span.spanId), parent: hex(span.parentSpanId), failed: span.status?.code === 2, nanos: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)), ...plain(span.attributes), service: resource["service.name"] });
        }
      }
      return response.writeHead(200, type).end(proto.trace.v1.ExportTraceServiceResponse.encode({}).finish());
    }
    if (request.url !== "/v1/metrics") return response.writeHead(404).end();
    for (const group of proto.metrics.v1.ExportMetricsServiceRequest.decode(body).resourceMetrics) {
      for (const scoped of group.scopeMetrics) for (const metric of scoped.metrics) {
        const data = metric.sum ?? metric.gauge ?? metric.histogram;
        for (const point of data.dataPoints) {
          say({ metric: metric.name, unit: metric.unit, kind: metric.data, monotonic: metric.sum?.isMonotonic, value: Number(point.asInt ?? point.count), buckets: point.bucketCounts?.length, bounds: point.explicitBounds?.length, ...plain(point.attributes) });
        }
      }
    }
    response.writeHead(200, type).end(proto.metrics.v1.ExportMetricsServiceResponse.encode({}).finish());
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
