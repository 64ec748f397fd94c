/**
 * `POST /oauth2/token` and `/oauth2/revoke`. Owns the names, forms and error codes of RFC 6749 and RFC 7009; JSON is
 * accepted as well, as the official SDKs send it. Refuses to know what a token is.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Credentials, parseBasic } from '../../access/authentication.ts';
import type { IssuedTokens, Origin, Tokens } from '../../access/tokens.ts';
import { AppError, type ErrorCode } from '../../errors.ts';
import { textOf } from '../shared/body.ts';
import { sendProblem } from '../shared/problems.ts';
import { clientName } from '../shared/rate-limits.ts';
import { VersionHeader } from '../shared/schemas.ts';
import { OAUTH_RESPONSES } from './schemas.ts';

/** Our refusals in the words of RFC 6749, section 5.2. Others keep our common `{error}`. */
const CODES: Partial<Readonly<Record<ErrorCode, string>>> = {
  'invalid-request': 'invalid_request',
  'unsupported-media': 'invalid_request',
  unauthenticated: 'invalid_client',
  'invalid-grant': 'invalid_grant',
  'invalid-scope': 'invalid_scope',
  'unsupported-grant-type': 'unsupported_grant_type',
};

const FORM = 'application/x-www-form-urlencoded';

export function addOAuthRoutes(app: FastifyInstance, { tokens }: { readonly tokens: Tokens }): void {
  app.addContentTypeParser(FORM, { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, formFields(textOf(bytes as Buffer)));
    } catch (error) {
      done(error as Error);
    }
  });

  const config = { scope: 'client' } as const;
  const common = {
    tags: ['Authentication'],
    headers: VersionHeader,
    consumes: ['application/json', FORM],
  };

  app.post(
    '/oauth2/token',
    {
      config,
      schema: {
        ...common,
        operationId: 'createAccessToken',
        summary: 'Create or refresh an access token',
        description:
          'Public and secret key come as HTTP Basic or as client_id and client_secret. A refresh token is used up; shown again, it ends all that came of it. Tokens end with their key, and with the secret they were got with.',
        body: { $ref: 'AuthTokenRequest#' },
        response: OAUTH_RESPONSES.token,
      },
      errorHandler: sendOAuthProblem,
    },
    async (request, reply) => {
      const fields = fieldsOf(request);
      const credentials = credentialsOf(request, fields);
      const scope = text(fields, 'scope');
      const from = originOf(request);
      reply.header('pragma', 'no-cache');
      switch (text(fields, 'grant_type')) {
        case 'client_credentials':
          return tokenJSON(await tokens.issue(credentials, scope, from));
        case 'refresh_token':
          return tokenJSON(await tokens.refresh(credentials, required(fields, 'refresh_token'), scope, from));
        case undefined:
          throw new AppError('invalid-request', 'grant_type must be given');
        default:
          throw new AppError(
            'unsupported-grant-type',
            'grant_type must be client_credentials or refresh_token',
          );
      }
    },
  );

  app.post(
    '/oauth2/revoke',
    {
      config,
      schema: {
        ...common,
        operationId: 'revokeAccessToken',
        summary: 'Revoke an access or refresh token',
        description: 'A token that is unknown, or of another key, is a success too, and stays as it is.',
        body: { $ref: 'RevokeTokenRequest#' },
        response: OAUTH_RESPONSES.revoke,
      },
      errorHandler: sendOAuthProblem,
    },
    async (request, reply) => {
      const fields = fieldsOf(request);
      const credentials = credentialsOf(request, fields);
      const from = originOf(request);
      await tokens.revoke(credentials, required(fields, 'token'), from);
      return reply.code(204).send();
    },
  );
}

type Fields = Readonly<Record<string, unknown>>;

function originOf({ id: requestID, ip: address }: FastifyRequest): Origin {
  return { requestID, address, client: clientName(address) };
}

function sendOAuthProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  return sendProblem(error, request, reply, ({ code, message }) => {
    const name = CODES[code];
    return name === undefined ? undefined : { error: name, error_description: message };
  });
}

/** @throws AppError `invalid-request` if a parameter comes twice, which RFC 6749 forbids. */
function formFields(body: string): Fields {
  const fields: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(body)) {
    if (name in fields) throw new AppError('invalid-request', 'a parameter is given more than once');
    fields[name] = value;
  }
  return fields;
}

function fieldsOf({ body }: FastifyRequest): Fields {
  if (body === undefined) return {};
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields;
  throw new AppError('invalid-request', 'the body must be a JSON object or a form');
}

/** Empty is the same as absent: RFC 6749, section 3.1. */
function text(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new AppError('invalid-request', `${name} must be a string`);
  return value;
}

function required(fields: Fields, name: string): string {
  const value = text(fields, name);
  if (value === undefined) throw new AppError('invalid-request', `${name} must be given`);
  return value;
}

/**
 * Credentials from the header, or the body. Clients that send them in both places, as the SDKs can, mean the same ones:
 * the header counts, and a body that says otherwise is refused.
 */
function credentialsOf(request: FastifyRequest, fields: Fields): Credentials | undefined {
  const { authorization } = request.headers;
  const publicKey = text(fields, 'client_id');
  const secretKey = text(fields, 'client_secret');
  if (authorization === undefined) {
    // PostgreSQL cannot even be asked for a text with NUL in it.
    if (publicKey === undefined || secretKey === undefined || publicKey.includes('\0')) return undefined;
    return { publicKey, secretKey };
  }
  const basic = parseBasic(authorization);
  const agree =
    basic === undefined ||
    ((publicKey === undefined || publicKey === basic.publicKey) &&
      (secretKey === undefined || secretKey === basic.secretKey));
  if (!agree) {
    throw new AppError('invalid-request', 'the credentials of the header and of the body are not the same');
  }
  return basic;
}

function tokenJSON({ accessToken, refreshToken, expiresIn, scope }: IssuedTokens) {
  return {
    // RFC 6749 takes it in any case; the official SDK only in this one.
    token_type: 'Bearer',
    access_token: accessToken,
    refresh_token: refreshToken,
    expires_in: expiresIn,
    scope,
  };
}
