/**
 * The spans of OpenTelemetry, made through its API alone. The operator loads an SDK before the server
 * (docs/observability.md). Without an SDK, not even the API is loaded.
 */
import type { Attributes, Context, Span } from '@opentelemetry/api';
import { isAppError } from '../errors.ts';
import type { Step, Telemetry } from './telemetry.ts';

type Api = typeof import('@opentelemetry/api');

/** The global key under which an SDK registers itself, in all 1.x versions of the API. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');

/** A running span, and the context that makes it the parent of new spans. */
export interface ActiveSpan {
  readonly span: Span;
  readonly context: Context;
}

/** @returns undefined if no SDK is registered in this process. */
export async function openTraces(version: string): Promise<Traces | undefined> {
  if (!Object.hasOwn(globalThis, REGISTERED)) return undefined;
  return new Traces(await import('@opentelemetry/api'), version);
}

export class Traces {
  readonly #api: Api;
  readonly #tracer: ReturnType<Api['trace']['getTracer']>;

  constructor(api: Api, version: string) {
    this.#api = api;
    this.#tracer = api.trace.getTracer('vitrine', version);
  }

  /** Starts the span of a request, in the trace that its headers name. */
  startRequest({ method, route, requestID, headers }: Parameters<Telemetry['request']>[0]): ActiveSpan {
    const { context, propagation, SpanKind, trace } = this.#api;
    // An instrumentation of Node's HTTP server may have continued the trace already.
    const active = context.active();
    const parent = trace.getSpan(active) ? active : propagation.extract(active, headers);
    const attributes = {
      'http.request.method': method,
      'http.route': route,
      'vitrine.request_id': requestID,
    };
    const span = this.#tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
    return { span, context: trace.setSpan(parent, span) };
  }

  within<T>({ context }: ActiveSpan, work: () => T): T {
    return this.#api.context.with(context, work);
  }

  /** Ends the span of a request. @param failure the error, unless the client caused it. */
  endRequest({ span }: ActiveSpan, status: number, failure: unknown): void {
    span.setAttribute('http.response.status_code', status);
    if (failure !== undefined) this.#fail(span, failure);
    else if (status >= 500) span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
    span.end();
  }

  async step<T>(step: Step, work: () => Promise<T>): Promise<T> {
    const { context, SpanKind, trace } = this.#api;
    const { name, attributes } = describeStep(step);
    const kind = step.kind === 'database' ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const span = this.#tracer.startSpan(name, { kind, attributes });
    try {
      return await context.with(trace.setSpan(context.active(), span), work);
    } catch (error) {
      // An error of the client is an outcome of the step, not a failure.
      if (isAppError(error) && !FAULTS.has(error.code)) span.setAttribute('vitrine.outcome', error.code);
      else this.#fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  #fail(span: Span, error: unknown): void {
    const exception = error instanceof Error ? error : new Error(String(error));
    span.recordException(exception);
    span.setAttribute('error.type', isAppError(error) ? error.code : exception.name);
    span.setStatus({ code: this.#api.SpanStatusCode.ERROR });
  }
}

const FAULTS: ReadonlySet<string> = new Set(['unavailable', 'storage-full']);

function describeStep(step: Step): { name: string; attributes: Attributes } {
  switch (step.kind) {
    case 'receive':
    case 'decode':
      return { name: step.kind, attributes: {} };
    case 'ingest':
      return { name: `ingest ${step.operation}`, attributes: { 'vitrine.bytes': step.bytes } };
    case 'render': {
      const attributes = { 'vitrine.from': step.from, 'vitrine.format': step.format };
      return { name: 'render', attributes };
    }
    case 'database':
      return { name: `database ${step.operation}`, attributes: { 'db.operation.name': step.operation } };
    case 'blob':
      return { name: `blob ${step.operation}`, attributes: { 'vitrine.operation': step.operation } };
  }
}
