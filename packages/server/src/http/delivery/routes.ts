/**
 * The public link, `GET /images/{publicID}`: its parameters, its headers and its limits for one address.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type {
  DeliveredRendition,
  Delivery,
  PlannedRendition,
  RenderClient,
} from '../../delivery/delivery.ts';
import type { FoundImage, PublicImages } from '../../delivery/public-images.ts';
import { AppError, isAppError } from '../../errors.ts';
import { FORMATS, type OutputFormat } from '../../image.ts';
import type { Transform } from '../../imaging/plan.ts';
import { DEFAULT_SIZE, MAX_DPR, MIN_DPR, parseSize, SIZE_FORM } from '../../imaging/size.ts';
import type { Count, Telemetry } from '../../telemetry/telemetry.ts';
import { publicErrorPolicy, type RenditionPolicy } from '../shared/cache-policy.ts';
import { isNotModified, lastModified, type Validators } from '../shared/conditional.ts';
import { PUBLIC_CORS } from '../shared/cors.ts';
import { sendProblem } from '../shared/problems.ts';
import { clientName, type RateLimits } from '../shared/rate-limits.ts';
import type { RenderQueues } from '../shared/render-queues.ts';
import { ConditionalHeaders } from '../shared/schemas.ts';
import { negotiate } from './negotiate.ts';
import { DELIVERY_RESPONSES, DeliveryQuery, PublicParams } from './schemas.ts';
import { ServerTiming } from './server-timing.ts';
import type { WarmAnswers } from './warm-answers.ts';

/** The most renditions that one request waits for, if the image changes again and again. */
const MAX_ATTEMPTS = 3;
/** The delay of a 429, in milliseconds. */
const REFUSAL_DELAY = 100;

export interface DeliveryRoutes {
  readonly publicImages: PublicImages;
  readonly delivery: Delivery;
  /** The values of Cache-Control in successful answers. */
  readonly policy: RenditionPolicy;
  /** The formats that the Accept header chooses from. */
  readonly formats: readonly OutputFormat[];
  readonly rates: RateLimits;
  readonly renderQueues: RenderQueues;
  /** Stores answers, so that the router need not handle identical requests. */
  readonly warm: WarmAnswers;
  readonly telemetry: Telemetry;
}

export function addDeliveryRoutes(
  app: FastifyInstance,
  { publicImages, delivery, policy, formats, rates, renderQueues, warm, telemetry }: DeliveryRoutes,
): void {
  const deliveryCount = (from: DeliveredRendition['from']): Count =>
    telemetry.counter('deliveries', { from });
  const renderClient = (request: FastifyRequest, reply: FastifyReply): RenderClient => ({
    // Hits need no name.
    get name() {
      return clientName(request.ip);
    },
    charge() {
      rates.charge(reply, 'address', this.name, true);
    },
    takeSlot({ publicID }, signal) {
      return renderQueues.acquire(this.name, publicID, signal);
    },
  });
  // Pages that send conditional requests send preflights first. The CORS plugin answers them.
  app.options(
    '/images/:publicID',
    { config: { cors: PUBLIC_CORS }, schema: { hide: true } },
    async () => undefined,
  );
  // HEAD has its own route: the framework's would send `Content-Length: 0` with a 304.
  for (const method of ['GET', 'HEAD']) {
    app.route<{ Params: Static<typeof PublicParams>; Querystring: Static<typeof DeliveryQuery> }>({
      method,
      exposeHeadRoute: false,
      url: '/images/:publicID',
      config: { scope: 'public', cors: PUBLIC_CORS },
      schema: {
        operationId: 'getPublicImage',
        summary: 'Get an image by its public ID',
        description: 'Needs no credentials. The format follows the Accept header unless `format` names one.',
        tags: ['Images'],
        security: [],
        params: PublicParams,
        querystring: DeliveryQuery,
        headers: ConditionalHeaders,
        response: DELIVERY_RESPONSES,
      },
      errorHandler: async (error, request, reply) => {
        if (isAppError(error, 'rate-limited')) await delayRefusal(request.abortSignal);
        return sendProblem(error, request, reply, undefined, publicErrorPolicy(error));
      },
      handler: async (request, reply) => {
        const timing = new ServerTiming();
        const transform = parseTransform(request.query);
        const client = renderClient(request, reply);
        const find = () => publicImages.find(request.params.publicID, () => client.charge());
        const plan = ({ image }: FoundImage): PlannedRendition => {
          const format = request.query.format ?? negotiate(request.headers.accept, image.original, formats);
          return delivery.plan(image, transform, format);
        };
        let found = await find();
        timing.mark('record');
        let planned = plan(found);
        timing.mark('plan');
        const setHeaders = () => {
          const { updatedOn } = found.image;
          const validators = { etag: planned.etag, lastModified: lastModified(updatedOn, Date.now()) };
          // Another request may have seen a change since the record was found.
          const state = publicImages.stateOf(found.image) ?? 'unconfirmed';
          setDeliveryHeaders(reply, validators, policy[state]);
          return validators;
        };
        let delivered: DeliveredRendition;
        for (let attempt = 1; ; attempt += 1) {
          if (isNotModified(request.headers, setHeaders())) {
            reply.header('server-timing', timing.of('revalidated'));
            warm.remember(request.raw, planned, reply.getHeaders());
            return reply.code(304).send();
          }
          delivered = await delivery.deliver(planned, request.abortSignal, client);
          // The image may have changed during a render.
          const isCurrent = publicImages.stateOf(found.image) !== undefined;
          if (isCurrent || attempt === MAX_ATTEMPTS) break;
          const { etag } = planned;
          found = await find();
          planned = plan(found);
          if (planned.etag === etag) break;
        }
        setHeaders();
        const { bytes, from, times } = delivered;
        deliveryCount(from).value += 1;
        reply
          .header('server-timing', timing.of(from, times))
          .type(FORMATS[planned.plan.format].mediaType)
          .header('content-disposition', `inline; filename="${found.image.publicID}.${planned.plan.format}"`);
        warm.remember(request.raw, planned, reply.getHeaders());
        return reply.send(bytes);
      },
    });
  }
}

function parseTransform(query: Static<typeof DeliveryQuery>): Transform {
  const size = query.size === undefined ? DEFAULT_SIZE : parseSize(query.size);
  if (!size) throw new AppError('invalid-request', `size must be ${SIZE_FORM}`);
  return {
    ...size,
    fit: query.fit ?? 'cover',
    position: query.position ?? 'center',
    dpr: Math.min(MAX_DPR, Math.max(MIN_DPR, query.dpr ?? 1)),
    ...(query.quality !== undefined && { quality: query.quality }),
  };
}

/**
 * Waits before a refusal. Clients that retry at once would otherwise keep the server busy with refusals. With
 * the delay, each connection gets ten a second.
 */
async function delayRefusal(aborted: AbortSignal): Promise<void> {
  await pause(REFUSAL_DELAY, undefined, { signal: aborted }).catch(() => undefined);
}

/** Sets the headers that a 200, a 304 and a HEAD share. */
function setDeliveryHeaders(
  reply: FastifyReply,
  { etag, lastModified }: Validators,
  cacheControl: string,
): void {
  if (lastModified === undefined) reply.removeHeader('last-modified');
  else reply.header('last-modified', new Date(lastModified).toUTCString());
  reply
    .header('etag', etag)
    .header('cache-control', cacheControl)
    .header('vary', 'Accept')
    .header('cross-origin-resource-policy', 'cross-origin')
    // Images are shown on pages of other origins, which could not read the timing without this.
    .header('timing-allow-origin', '*')
    .header('content-security-policy', "default-src 'none'; sandbox");
}
