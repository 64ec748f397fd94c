/**
 * Builds the HTTP server: its limits, what every response carries, and the routes. Owns nothing of what they do.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { pino } from 'pino';
import type { TSchema } from 'typebox';
import type { Administration } from '../access/administration.ts';
import type { Access } from '../access/authentication.ts';
import type { Tokens } from '../access/tokens.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Delivery } from '../delivery/delivery.ts';
import type { PublicImages } from '../delivery/public-images.ts';
import { AppError } from '../errors.ts';
import type { Library } from '../images/library.ts';
import { Readiness } from '../telemetry/readiness.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import { addAccountRoutes } from './access/accounts.ts';
import { addKeyRoutes } from './access/keys.ts';
import { addOAuthRoutes } from './access/oauth.ts';
import { ADMINISTRATION_SCHEMAS } from './access/schemas.ts';
import { LINE_ITEM_SCHEMAS } from './catalog/line-item-schemas.ts';
import { addLineItemRoutes } from './catalog/line-items.ts';
import { PRODUCT_SCHEMAS } from './catalog/product-schemas.ts';
import { addProductRoutes } from './catalog/products.ts';
import { Connections } from './connection/limits.ts';
import {
  MAX_HEADER_BYTES,
  refuseConnection,
  refuseExpectation,
  refuseMalformed,
  refuseWithoutHost,
} from './connection/malformed.ts';
import { SERVER_LIMITS, type ServerLimits } from './connection/server-limits.ts';
import { addDeliveryRoutes } from './delivery/routes.ts';
import { WarmAnswers } from './delivery/warm-answers.ts';
import { addOriginalRoutes } from './images/originals.ts';
import { addImageRoutes } from './images/routes.ts';
import { IMAGE_SCHEMAS } from './images/schemas.ts';
import { addImageUsageRoutes } from './images/usage.ts';
import { USAGE_SCHEMAS } from './images/usage-schemas.ts';
import { DOCUMENT, referenceName, unwrapResponses } from './openapi.ts';
import { textOf } from './shared/body.ts';
import { NO_STORE } from './shared/cache-policy.ts';
import { type AllowedOrigins, addCors } from './shared/cors.ts';
import { sendProblem } from './shared/problems.ts';
import { compileQuery } from './shared/query.ts';
import { RateLimits } from './shared/rate-limits.ts';
import { addObserving } from './shared/request-log.ts';
import { addRouteRules, requireScopes } from './shared/route-rules.ts';
import { SHARED_SCHEMAS } from './shared/schemas.ts';
import { addDocsRoutes } from './system/docs.ts';
import { addMetricsRoute, type MetricsRoutes } from './system/metrics.ts';
import { addProbeRoutes } from './system/probes.ts';

/** Where the server listens, and how clients reach it. */
export interface ServerAddress {
  readonly host: string;
  /** 0: the system picks a free one. */
  readonly port: number;
  /** The base of public links, without a slash at its end; undefined: the address that the server listens on. */
  readonly publicURL: string | undefined;
}

export interface ServerDependencies {
  readonly access: Access;
  readonly tokens: Tokens;
  readonly administration: Administration;
  readonly library: Library;
  readonly catalog: Catalog;
  readonly publicImages: PublicImages;
  readonly delivery: Delivery;
  /** The time by which keys expire. */
  readonly now: () => Date;
  readonly log: FastifyBaseLogger;
  /** What the base of public links is made from. */
  readonly address: ServerAddress;
  readonly cacheControl: string;
  /** Requests per second for each key and each address; 0: no limit. */
  readonly rateLimit: number;
  readonly corsOrigins: AllowedOrigins;
  readonly trustProxy: boolean | number | readonly string[];
  /** Other limits than those of `limits.ts`; for tests. */
  readonly limits?: Partial<ServerLimits> | undefined;
  readonly readiness: Readiness;
  readonly telemetry: Telemetry;
  readonly metrics: MetricsRoutes['metrics'];
}

/** Levels at which even the framework's own warnings are not logged. */
const QUIET = ['error', 'fatal', 'silent'];

const DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** The framework's types know only its own compilers. */
const COMPILERS = {
  buildValidator: () => compileSchema,
  buildSerializer: () => () => JSON.stringify,
} as object;

const SCHEMAS = [
  ...SHARED_SCHEMAS,
  ...IMAGE_SCHEMAS,
  ...USAGE_SCHEMAS,
  ...PRODUCT_SCHEMAS,
  ...LINE_ITEM_SCHEMAS,
  ...ADMINISTRATION_SCHEMAS,
];

export function createServer(dependencies: ServerDependencies): Promise<FastifyInstance> {
  return buildServer(dependencies, async () => undefined);
}

/** `prepare` is called before there is any route. */
async function buildServer(
  dependencies: ServerDependencies,
  prepare: (app: FastifyInstance) => Promise<void>,
): Promise<FastifyInstance> {
  const { log, trustProxy, corsOrigins, readiness, telemetry } = dependencies;
  const malformed = telemetry.counter('malformed', {});
  const limits = { ...SERVER_LIMITS, ...dependencies.limits };
  const app = Fastify({
    // The framework says by itself where it listens; so does the process, in words that scripts wait for.
    loggerInstance: log.child({}, { level: QUIET.includes(log.level) ? log.level : 'warn' }),
    childLoggerFactory: (_framework, bindings, options) => log.child(bindings, options),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    trustProxy: trustedProxies(trustProxy),
    genReqId: requestID,
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: limits.keepAliveTimeout,
    // An ID that cannot be one is an unknown one, not a malformed request: the routes are to see it, however long.
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    rewriteUrl: ({ url = '/' }) => decodable(url),
    forceCloseConnections: 'idle',
    // Its own refusal while it stops is no answer of ours, and neither logged nor counted: what still comes on an open
    // connection is answered, and the connection ended with it.
    return503OnClosing: false,
    http: {
      headersTimeout: limits.headersTimeout,
      connectionsCheckingInterval: limits.checkInterval,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Node's own refusal has neither a text nor an ID.
      requireHostHeader: false,
    },
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id);
      sendProblem(error, request, reply);
    },
    clientErrorHandler: (error, socket) => {
      malformed.value += 1;
      refuseMalformed(error, socket);
    },
    // To load the compilers of schemas, and to compile a serializer for every answer of every route, would be half of a
    // start. Queries have a validator of our own, bodies are read by the entities, and what routes answer is made field
    // by field, so that nothing is to be left out of it.
    schemaController: { compilersFactory: COMPILERS },
  });

  // A client that asks first gets to send only once its headers were found good (see the body rules).
  app.server.on('checkContinue', (request, response) => app.server.emit('request', request, response));
  app.server.on('checkExpectation', (request, response) => {
    malformed.value += 1;
    refuseExpectation(request, response, requestID(request));
  });

  const logsAnswers = ['trace', 'debug', 'info'].includes(log.level);
  // Looked up once, because what answers ahead of the router takes microseconds.
  const fromMemory = { method: 'GET', route: '/images/:publicID' };
  const sent = telemetry.counter('requests', { ...fromMemory, status: '2xx' });
  const unchanged = telemetry.counter('requests', { ...fromMemory, status: '3xx' });
  const delivered = telemetry.counter('deliveries', { from: 'warm' });
  const warm = new WarmAnswers({
    publicImages: dependencies.publicImages,
    delivery: dependencies.delivery,
    requestID,
    counted: (status) => {
      (status === 304 ? unchanged : sent).value += 1;
      if (status === 200) delivered.value += 1;
    },
    // What is not written is not made either: it would be a good part of the work of such an answer.
    ...(logsAnswers && {
      answered: ({ method, url }, id, status, ip) => {
        log.info({ requestId: id, method, path: url?.split('?', 1)[0], status, ms: 0, ip }, 'answered');
      },
    }),
  });
  // Behind proxies the router knows whose address counts; where it is to be logged, it has to be asked.
  warm.enabled = trustProxy === false || !logsAnswers;
  const [route] = app.server.listeners('request') as ((...call: [IncomingMessage, ServerResponse]) => void)[];
  app.server.removeAllListeners('request');
  const { perAddress, ...others } = limits.connections;
  const connections = new Connections(
    app.server,
    // Behind a proxy, every connection is from its address.
    { ...others, perAddress: trustProxy === false ? perAddress : 0 },
    (socket, status, ...words) => {
      telemetry.counter('errors', { status: String(status), reason: 'connections' }).value += 1;
      refuseConnection(socket, status, ...words);
    },
  );
  app.server.on('request', (request, response) => {
    connections.answering(response);
    if (refuseWithoutHost(request, response, requestID)) malformed.value += 1;
    else if (!warm.answer(request, response)) route?.(request, response);
  });
  let stopping = false;
  app.addHook('preClose', async () => {
    readiness.stop();
    warm.enabled = false;
    stopping = true;
    connections.stop();
    await connections.settle();
  });
  app.addHook('onClose', async () => connections.close());
  // A connection that is kept alive after its last answer would hold up the stop until it times out.
  app.addHook('onSend', async (_request, reply) => {
    if (stopping) reply.header('connection', 'close');
  });

  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new AppError('not-found', `there is no ${request.method} at this path`), request, reply),
  );

  addObserving(app, telemetry);
  app.addHook('onRequest', async (request, reply) => {
    reply
      .header('x-request-id', request.id)
      .header('x-content-type-options', 'nosniff')
      .header('content-security-policy', DEFAULT_POLICY);
    if (request.routeOptions.config.scope !== 'public') reply.header('cache-control', NO_STORE);
  });

  addParsers(app);
  await prepare(app);
  requireScopes(app);
  await addCors(app, corsOrigins);
  const rates = new RateLimits(dependencies.rateLimit);
  addRouteRules(app, { access: dependencies.access, rates, allowedOrigins: corsOrigins, pace: limits.pace });

  const { address } = dependencies;
  const routes = { ...dependencies, baseURL: () => baseURL(app, address) };
  addProbeRoutes(app, dependencies);
  addMetricsRoute(app, dependencies);
  addDocsRoutes(app, describeAPI);
  await app.register(async (scope) => addDeliveryRoutes(scope, { ...dependencies, rates, warm }));
  await app.register(async (scope) => {
    addImageRoutes(scope, routes);
    addImageUsageRoutes(scope, routes);
    addOriginalRoutes(scope, routes);
    addProductRoutes(scope, routes);
    addLineItemRoutes(scope, routes);
    addAccountRoutes(scope, routes);
    addKeyRoutes(scope, routes);
  });
  await app.register(async (scope) => addOAuthRoutes(scope, routes));
  return app;
}

/**
 * The OpenAPI document of the routes, made when it is asked for, by what a server that only serves does not load. Routes only use what they are given when they answer, so nothing is needed to
 * describe them.
 */
export async function describeAPI(): Promise<object> {
  const nothing = {} as ServerDependencies;
  const log = pino({ level: 'silent' });
  const app = await buildServer(
    {
      ...nothing,
      ...{ log, corsOrigins: [], rateLimit: 0, trustProxy: false },
      readiness: new Readiness({ checks: {} }),
      telemetry: UNOBSERVED,
    },
    async (app) => {
      const { default: swagger } = await import('@fastify/swagger');
      for (const schema of SCHEMAS) app.addSchema(schema);
      await app.register(swagger, {
        openapi: DOCUMENT,
        refResolver: { buildLocalReference: referenceName },
      });
    },
  );
  await app.ready();
  const document = unwrapResponses(app.swagger());
  await app.close();
  return document;
}

/** The base of public links, without a slash at its end. */
export function baseURL({ server }: FastifyInstance, { host, port, publicURL }: ServerAddress): string {
  if (publicURL !== undefined) return publicURL;
  const listening = server.address() as AddressInfo | null;
  return `http://${hostInURL(host)}:${listening?.port ?? port}`;
}

/** A host as it stands in a URL that a browser on this machine can open. */
function hostInURL(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function compileSchema({ schema, httpPart }: { schema: unknown; httpPart?: string }) {
  return httpPart === 'querystring' ? compileQuery(schema as TSchema) : () => true;
}

/** JSON is parsed; a form goes to its route as the stream that it is; nothing else is a body here. */
function addParsers(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    // Some clients send the type with every request, also where there is no body.
    if (bytes.length === 0) return done(null, undefined);
    // On a form's route this is no form, whatever is in it.
    if (request.routeOptions.config.form) return done(null, undefined);
    try {
      done(null, JSON.parse(textOf(bytes as Buffer)));
    } catch (cause) {
      if (cause instanceof AppError) return done(cause);
      done(new AppError('invalid-request', 'the body is not valid JSON', { cause }));
    }
  });
  app.addContentTypeParser('multipart/form-data', (_request, payload, done) => done(null, payload));
  // Where a form is wanted, whatever else comes is no form; elsewhere it is of a type that is not accepted.
  app.addContentTypeParser('*', (request, payload, done) => {
    if (request.routeOptions.config.form) done(null, payload);
    else done(new AppError('unsupported-media', 'Content-Type must be application/json'));
  });
}

/** The URL with such percent signs of its path escaped as do not begin the encoding of a character. */
function decodable(url: string): string {
  const [path = ''] = url.split('?', 1);
  if (!path.includes('%')) return url;
  const escaped = path.replace(/(?:%[0-9a-f]{2})+|%/gi, (encoded) =>
    isDecodable(encoded) ? encoded : encoded.replaceAll('%', '%25'),
  );
  return escaped + url.slice(path.length);
}

function isDecodable(encoded: string): boolean {
  try {
    decodeURIComponent(encoded);
    return true;
  } catch {
    return false;
  }
}

/** A number is of hops, counted from here. */
function trustedProxies(setting: ServerDependencies['trustProxy']) {
  if (typeof setting === 'number') return (_address: string, hop: number) => hop < setting;
  return typeof setting === 'boolean' ? setting : [...setting];
}

const REQUEST_ID = /^[A-Za-z0-9._-]{8,64}$/;

/** The client's own request ID if it is a harmless one, so that both sides can find the same request; else a new one. */
function requestID(request: { headers: IncomingMessage['headers'] }): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}
