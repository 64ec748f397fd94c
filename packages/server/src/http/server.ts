/**
 * Builds the HTTP server: its limits, the headers of every response, and the routes.
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
import type { OutputFormat } from '../image.ts';
import type { Library } from '../images/library.ts';
import { Readiness } from '../telemetry/readiness.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import { addAccountRoutes } from './access/accounts.ts';
import { addKeyRoutes } from './access/keys.ts';
import { addMeRoute } from './access/me.ts';
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
import { NO_STORE, renditionPolicy } from './shared/cache-policy.ts';
import { wrongContentType } from './shared/content-type.ts';
import { type AllowedOrigins, addCors } from './shared/cors.ts';
import type { OpenAPIDocument } from './shared/openapi-document.ts';
import { sendProblem } from './shared/problems.ts';
import { publicPathOf } from './shared/public-paths.ts';
import { compileQuery } from './shared/query.ts';
import { RateLimits } from './shared/rate-limits.ts';
import { RenderQueues, slotsPerAddress } from './shared/render-queues.ts';
import { addRequestLog } from './shared/request-log.ts';
import { addRouteRules, requireScopes } from './shared/route-rules.ts';
import { SHARED_SCHEMAS } from './shared/schemas.ts';
import { addDocsRoutes } from './system/docs.ts';
import { addMetricsRoute, type MetricsRoutes } from './system/metrics.ts';
import { addProbeRoutes } from './system/probes.ts';

/** The address that the server listens on, and the one that clients use. */
export interface ServerAddress {
  readonly host: string;
  /** 0: the system picks a free port. */
  readonly port: number;
  /** The base of public links, without a slash at its end. Default: the listening address. */
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
  /** The clock for the expiry of keys. */
  readonly now: () => Date;
  readonly log: FastifyBaseLogger;
  /** It also gives the base of public links. */
  readonly address: ServerAddress;
  readonly cacheControl: string;
  /** The formats of public links without `format`. */
  readonly formats: readonly OutputFormat[];
  /** Requests per second for each key and each address; 0: no limit. */
  readonly rateLimit: number;
  /** The most worker processes. */
  readonly renderConcurrency: number;
  readonly corsOrigins: AllowedOrigins;
  readonly trustProxy: boolean | number | readonly string[];
  /** Seconds for which an idle connection stays open after an answer. */
  readonly keepAlive: number;
  /** Replaces default limits in tests. */
  readonly limits?: Partial<ServerLimits> | undefined;
  /** It also says when the server stops. */
  readonly readiness: Readiness;
  readonly telemetry: Telemetry;
  readonly metrics: MetricsRoutes['metrics'];
}

/** Log levels at which the framework's warnings are not logged. */
const LEVELS_WITHOUT_WARNINGS = ['error', 'fatal', 'silent'];

const CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** An `object`, because the framework's types allow only its own compilers. */
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

/** @param prepare is called before routes are added. */
async function buildServer(
  dependencies: ServerDependencies,
  prepare: (app: FastifyInstance) => Promise<void>,
): Promise<FastifyInstance> {
  const { log, trustProxy, keepAlive, corsOrigins, readiness, telemetry } = dependencies;
  const malformed = telemetry.counter('malformed', {});
  const limits = { ...SERVER_LIMITS, ...dependencies.limits };
  // At most `warn`: the framework logs its address at `info`, and the process logs the line that scripts wait
  // for.
  const frameworkLevel = LEVELS_WITHOUT_WARNINGS.includes(log.level) ? log.level : 'warn';
  const app = Fastify({
    loggerInstance: log.child({}, { level: frameworkLevel }),
    childLoggerFactory: (_framework, bindings, options) => log.child(bindings, options),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    trustProxy: trustedProxies(trustProxy),
    genReqId: requestID,
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: keepAlive * 1000,
    // An ID of any length reaches its route, which answers 404 as for other unknown IDs.
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    rewriteUrl: ({ url = '/' }) => escapeStrayPercents(url),
    forceCloseConnections: 'idle',
    // No limit. It would be 10 s for the hook that waits for slow readers, and then the stop would fail.
    pluginTimeout: 0,
    // The framework's refusal during a stop is neither logged nor counted. Requests on open connections are
    // answered, and each answer closes its connection.
    return503OnClosing: false,
    http: {
      headersTimeout: limits.headersTimeout,
      connectionsCheckingInterval: limits.checkInterval,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Node's own refusal has neither a text nor a request ID.
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
    // The framework's compilers take half of the time of a start. Queries have their own validator, and
    // entities read the bodies. Routes make their answers field by field, so a serializer has nothing to
    // remove.
    schemaController: { compilersFactory: COMPILERS },
  });

  // The body rules send `100 Continue` after they have checked the headers.
  app.server.on('checkContinue', (request, response) => app.server.emit('request', request, response));
  app.server.on('checkExpectation', (request, response) => {
    malformed.value += 1;
    refuseExpectation(request, response, requestID(request));
  });

  const logsAnswers = ['trace', 'debug', 'info'].includes(log.level);
  // Looked up once, because an answer ahead of the router takes microseconds.
  const publicLink = { method: 'GET', route: '/images/:publicID' };
  const successCount = telemetry.counter('requests', { ...publicLink, status: '2xx' });
  const notModifiedCount = telemetry.counter('requests', { ...publicLink, status: '3xx' });
  const warmCount = telemetry.counter('deliveries', { from: 'warm' });
  const policy = renditionPolicy(dependencies.cacheControl);
  const warm = new WarmAnswers({
    policy,
    publicImages: dependencies.publicImages,
    delivery: dependencies.delivery,
    requestID,
    count: (status) => {
      (status === 304 ? notModifiedCount : successCount).value += 1;
      if (status === 200) warmCount.value += 1;
    },
    // Making a log entry takes a large part of the time of such an answer.
    ...(logsAnswers && {
      log: ({ method, url }, id, status, ip) => {
        log.info({ requestId: id, method, path: url?.split('?', 1)[0], status, ms: 0, ip }, 'answered');
      },
    }),
  });
  // Behind a proxy, only the router knows the address of the client, which the log needs.
  warm.enabled = trustProxy === false || !logsAnswers;
  const [handleByRouter] = app.server.listeners('request') as ((
    ...call: [IncomingMessage, ServerResponse]
  ) => void)[];
  app.server.removeAllListeners('request');
  const { perAddress, ...connectionLimits } = limits.connections;
  const connections = new Connections(
    app.server,
    // Behind a proxy, all connections have its address.
    { ...connectionLimits, perAddress: trustProxy === false ? perAddress : 0 },
    (socket, status, ...text) => {
      telemetry.counter('errors', { status: String(status), reason: 'connections' }).value += 1;
      refuseConnection(socket, status, ...text);
    },
  );
  app.server.on('request', (request, response) => {
    connections.trackResponse(response);
    if (refuseWithoutHost(request, response, requestID)) malformed.value += 1;
    // The routes close the connections of a stopping server.
    else if (readiness.isStopping || !warm.answer(request, response)) handleByRouter?.(request, response);
  });
  app.addHook('preClose', async () => {
    readiness.stop();
    connections.stop();
    await connections.drain();
  });
  app.addHook('onClose', async () => connections.close());
  // An idle connection would delay the stop until its timeout.
  app.addHook('onSend', async (_request, reply) => {
    if (readiness.isStopping) reply.header('connection', 'close');
  });

  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new AppError('not-found', `there is no ${request.method} at this path`), request, reply),
  );

  addRequestLog(app, telemetry);
  app.addHook('onRequest', async (request, reply) => {
    reply
      .header('x-request-id', request.id)
      .header('x-content-type-options', 'nosniff')
      .header('content-security-policy', CONTENT_SECURITY_POLICY);
    if (request.routeOptions.config.scope !== 'public') reply.header('cache-control', NO_STORE);
  });

  addParsers(app);
  await prepare(app);
  requireScopes(app);
  await addCors(app, corsOrigins);
  const rates = new RateLimits(dependencies.rateLimit);
  const slots = slotsPerAddress(dependencies.renderConcurrency);
  const renderQueues = new RenderQueues({ ...limits.renders, slots });
  addRouteRules(app, { access: dependencies.access, rates, allowedOrigins: corsOrigins, pace: limits.pace });

  const { address } = dependencies;
  const routes = { ...dependencies, baseURL: () => baseURL(app, address) };
  addProbeRoutes(app, dependencies);
  addMetricsRoute(app, dependencies);
  addDocsRoutes(app, describeAPI, publicPathOf(address.publicURL));
  await app.register(async (scope) =>
    addDeliveryRoutes(scope, { ...dependencies, policy, rates, renderQueues, warm }),
  );
  await app.register(async (scope) => {
    addImageRoutes(scope, routes);
    addImageUsageRoutes(scope, routes);
    addOriginalRoutes(scope, routes);
    addProductRoutes(scope, routes);
    addLineItemRoutes(scope, routes);
    addAccountRoutes(scope, routes);
    addKeyRoutes(scope, routes);
    addMeRoute(scope, routes);
  });
  await app.register(async (scope) => addOAuthRoutes(scope, routes));
  return app;
}

/**
 * Makes the OpenAPI document of the routes. The generator and the examples are loaded here, not at the start
 * of a server. Routes use their dependencies only in handlers, so the document needs none.
 */
export async function describeAPI(): Promise<OpenAPIDocument> {
  const noDependencies = {} as ServerDependencies;
  const log = pino({ level: 'silent' });
  const app = await buildServer(
    {
      ...noDependencies,
      ...{ log, corsOrigins: [], rateLimit: 0, trustProxy: false, keepAlive: 0, cacheControl: '' },
      address: { host: 'localhost', port: 0, publicURL: undefined },
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
  const document = unwrapResponses(app.swagger() as unknown as OpenAPIDocument);
  await app.close();
  const { addExamples } = await import('./examples.ts');
  return addExamples(document);
}

/** The base of public links, without a slash at its end. */
export function baseURL({ server }: FastifyInstance, { host, port, publicURL }: ServerAddress): string {
  if (publicURL !== undefined) return publicURL;
  const listening = server.address() as AddressInfo | null;
  return `http://${hostInURL(host)}:${listening?.port ?? port}`;
}

/** The host in a URL that a browser on this machine can open. */
function hostInURL(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

function compileSchema({ schema, httpPart }: { schema: unknown; httpPart?: string }) {
  return httpPart === 'querystring' ? compileQuery(schema as TSchema) : () => true;
}

/** Parses JSON and passes forms to their routes as streams. Other bodies are refused. */
function addParsers(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    // Some clients send this Content-Type without a body.
    if (bytes.length === 0) return done(null, undefined);
    // The route of a form refuses it by its Content-Type.
    if (request.routeOptions.config.form) return done(null, undefined);
    try {
      done(null, JSON.parse(textOf(bytes as Buffer)));
    } catch (cause) {
      if (cause instanceof AppError) return done(cause);
      done(new AppError('invalid-request', 'the body is not valid JSON', { cause }));
    }
  });
  // The route of a form refuses other types itself, as a malformed form. Other routes refuse forms.
  app.addContentTypeParser(['multipart/form-data', '*'], (request, payload, done) => {
    if (request.routeOptions.config.form) done(null, payload);
    else done(wrongContentType(request));
  });
}

/** Escapes the percent signs of the path that do not begin an encoded character. */
function escapeStrayPercents(url: string): string {
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

/** A number is the count of trusted hops, starting at this server. */
function trustedProxies(setting: ServerDependencies['trustProxy']) {
  if (typeof setting === 'number') return (_address: string, hop: number) => hop < setting;
  return typeof setting === 'boolean' ? setting : [...setting];
}

const REQUEST_ID = /^[A-Za-z0-9._-]{8,64}$/;

/**
 * The request ID of the client if it has a safe form, so that both sides can find the request. Otherwise a
 * new ID.
 */
function requestID(request: { headers: IncomingMessage['headers'] }): string {
  const id = request.headers['x-request-id'];
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : randomUUID();
}
