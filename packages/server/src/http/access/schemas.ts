/**
 * The part of the wire contract about accounts, keys, tokens and the audit trail. As in schemas.ts: the one source of
 * the OpenAPI document and the client's types, with no knowledge of entities.
 */
import { Type } from 'typebox';
import {
  DISABLE_POLICIES,
  type DisablePolicy,
  MAX_BYTE_QUOTA,
  MAX_IMAGE_QUOTA,
  MAX_NAME_LENGTH,
} from '../../access/account.ts';
import { AUDIT_ACTIONS } from '../../access/audit.ts';
import { DEFAULT_OVERLAP, MAX_KEY_ACCOUNTS, MAX_OVERLAP } from '../../access/settings.ts';
import { COMMON_RESPONSES, describeResponse } from '../shared/schemas.ts';

const DateTime = (description: string) => Type.String({ format: 'date-time', description });
const ID = (description: string) => Type.String({ format: 'uuid', description });
const Name = (description: string) => Type.String({ minLength: 1, maxLength: MAX_NAME_LENGTH, description });

const displayName = Name(`What people call the account, at most ${MAX_NAME_LENGTH} characters.`);
const imageQuota = Type.Integer({
  minimum: 0,
  maximum: MAX_IMAGE_QUOTA,
  description: 'How many images may be enabled at once.',
});

const byteQuota = Type.Integer({
  minimum: 0,
  maximum: MAX_BYTE_QUOTA,
  description: 'Bytes of originals of images that are not disabled; 0 is no limit.',
});

const disablePolicy = Type.Unsafe<DisablePolicy>({
  type: 'string',
  enum: [...DISABLE_POLICIES],
  description: 'What becomes of disabling an image that is in use; absent: `allow`.',
});

export const AccountSchema = Type.Object(
  {
    accountID: ID('Identifies the account.'),
    displayName,
    createdOn: DateTime('When the account was created.'),
    suspendedOn: Type.Optional(DateTime('When the account was suspended; absent while it is not.')),
    imageQuota: Type.Optional(imageQuota),
    byteQuota: Type.Optional(byteQuota),
    disablePolicy: Type.Optional(disablePolicy),
  },
  { $id: 'Account', description: 'A tenant: owns images. A quota that is absent is the server’s default.' },
);

const settings = {
  disablePolicy: Type.Optional(disablePolicy),
  imageQuota: Type.Optional(
    Type.Union([imageQuota, Type.Null()], {
      description: 'How many images may be enabled at once; null is the server’s default.',
    }),
  ),
  byteQuota: Type.Optional(
    Type.Union([byteQuota, Type.Null()], {
      description:
        'Bytes of originals of images that are not disabled; 0 is no limit, null the server’s default.',
    }),
  ),
};

export const AccountRequest = Type.Object(
  {
    displayName,
    accountID: Type.Optional(
      ID('The ID to give it, such as that of an account elsewhere. Default: a new one.'),
    ),
    ...settings,
  },
  { $id: 'AccountRequest', description: 'An account to create.' },
);

export const AccountPatch = Type.Object(
  { displayName: Type.Optional(displayName), ...settings },
  {
    $id: 'AccountPatch',
    description: 'What to change about an account. Quotas take credentials for all accounts.',
  },
);

const scopes = Type.Array(Type.String(), {
  minItems: 1,
  description:
    'What the key may do: /accounts/{accountID}/images.read, …/images.write, …/products.read, …/products.write, /accounts.read, /accounts.write, /ping.read. {accountID} stands for each account of the key.',
});
const accounts = Type.Union(
  [Type.Literal('all'), Type.Array(Type.String({ format: 'uuid' }), { maxItems: MAX_KEY_ACCOUNTS })],
  { description: 'The accounts the key may act for, as far as the credentials know of them.' },
);
const expiresOn = DateTime('From when on the key is no longer good.');

const key = {
  keyID: ID('Identifies the key.'),
  publicKey: Type.String({ description: 'The user name of HTTP Basic, and the client_id of OAuth2.' }),
  name: Name('What people call the key.'),
  accounts,
  scopes,
  createdOn: DateTime('When the key was created.'),
  expiresOn: Type.Optional(expiresOn),
  lastUsedOn: Type.Optional(DateTime('When the key was last used, give or take a minute.')),
  revokedOn: Type.Optional(DateTime('When the key was revoked; absent while it is not.')),
};
const secretKey = Type.String({ description: 'The secret. It is told only now: keep it.' });

export const ApiKeySchema = Type.Object(key, { $id: 'ApiKey', description: 'A key, without its secrets.' });

export const IssuedApiKey = Type.Object(
  { ...key, secretKey },
  { $id: 'IssuedApiKey', description: 'A new key with its secret.' },
);

export const RotatedApiKey = Type.Object(
  { ...key, secretKey, overlapUntil: DateTime('When the secret before it ends.') },
  { $id: 'RotatedApiKey', description: 'A key with its new secret.' },
);

const keyRequest = {
  name: Name(`What people call the key, at most ${MAX_NAME_LENGTH} characters.`),
  scopes: Type.Optional(scopes),
  expiresOn: Type.Optional(expiresOn),
};

export const ApiKeyRequest = Type.Object(keyRequest, {
  $id: 'ApiKeyRequest',
  description:
    'A key to create, never wider than the credentials that create it. Without scopes: images, products and ping, as far as these have them.',
});

export const ServerKeyRequest = Type.Object(
  { ...keyRequest, accounts: Type.Optional(accounts) },
  { $id: 'ServerKeyRequest', description: 'A key to create for several accounts, or (the default) for all.' },
);

export const RotationRequest = Type.Object(
  {
    overlapSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: MAX_OVERLAP,
        default: DEFAULT_OVERLAP,
        description: 'How long the secret before it stays valid.',
      }),
    ),
  },
  { $id: 'RotationRequest', description: 'How a key is to be rotated.' },
);

const digest = (description: string) => Type.Optional(Type.String({ description }));
const optionalText = (description: string) => Type.Optional(Type.String({ description }));

export const AuditEntrySchema = Type.Object(
  {
    sequence: Type.Integer({
      description: '1 for the first line of its trail, 2 for the second, without gaps.',
    }),
    on: DateTime('When it happened.'),
    action: Type.Unsafe<string>({ type: 'string', enum: [...AUDIT_ACTIONS], description: 'What happened.' }),
    accountID: optionalText('The account it concerns; absent for what concerns the server as a whole.'),
    subject: Type.Object(
      { kind: Type.String(), id: Type.String() },
      { description: 'What it happened to: an image, an account, a key, a token.' },
    ),
    by: Type.Object(
      {
        kind: Type.Unsafe<string>({ type: 'string', enum: ['key', 'operator', 'server'] }),
        keyID: optionalText('The key that was used.'),
        tokenID: optionalText('The access token that was shown for it.'),
        requestID: optionalText('The x-request-id of the request.'),
        address: optionalText('The address of the client.'),
        name: optionalText('The operator’s name at the command line.'),
      },
      { description: 'Who did it.' },
    ),
    before: digest('SHA-256 of the original before.'),
    after: digest('SHA-256 of the original after.'),
    details: Type.Optional(
      Type.Unsafe<Record<string, unknown>>({
        type: 'object',
        additionalProperties: true,
        description: 'What else is worth knowing.',
      }),
    ),
  },
  { $id: 'AuditEntry', description: 'A line of the audit trail.' },
);

export const AuthToken = Type.Object(
  {
    token_type: Type.Unsafe<'Bearer'>({ type: 'string', enum: ['Bearer'] }),
    access_token: Type.String({ description: 'Goes into the header Authorization: Bearer …' }),
    refresh_token: Type.String({ description: 'Gets new tokens, once.' }),
    expires_in: Type.Integer({ description: 'Seconds until the access token expires.' }),
    scope: Type.String({ description: 'What the access token is good for, separated by spaces.' }),
  },
  { $id: 'AuthToken', description: 'An access token and what belongs to it.' },
);

const credentials = {
  client_id: optionalText('The public key, if it is not in HTTP Basic.'),
  client_secret: optionalText('The secret key, if it is not in HTTP Basic.'),
};

export const AuthTokenRequest = Type.Object(
  {
    grant_type: Type.Unsafe<string>({ type: 'string', enum: ['client_credentials', 'refresh_token'] }),
    scope: optionalText(
      'What to allow, separated by spaces. Default: all that the key, or the refresh token, does.',
    ),
    refresh_token: optionalText('For refresh_token.'),
    ...credentials,
  },
  { $id: 'AuthTokenRequest', description: 'RFC 6749, as JSON or as a form.' },
);

export const RevokeTokenRequest = Type.Object(
  {
    token: Type.String({ description: 'An access token, or a refresh token with all that came of it.' }),
    token_type_hint: optionalText('Accepted, and not needed.'),
    ...credentials,
  },
  { $id: 'RevokeTokenRequest', description: 'RFC 7009, as JSON or as a form.' },
);

export const OAuthError = Type.Object(
  {
    error: Type.String({ description: 'A code of RFC 6749, such as invalid_grant.' }),
    error_description: Type.Optional(Type.String({ description: 'What is wrong, in a sentence.' })),
  },
  { $id: 'OAuthError', description: 'Why there is no token.' },
);

/** Every schema of this part with a name of its own in the document. */
export const ADMINISTRATION_SCHEMAS = [
  AccountSchema,
  AccountRequest,
  AccountPatch,
  ApiKeySchema,
  IssuedApiKey,
  RotatedApiKey,
  ApiKeyRequest,
  ServerKeyRequest,
  RotationRequest,
  AuditEntrySchema,
  AuthToken,
  AuthTokenRequest,
  RevokeTokenRequest,
  OAuthError,
];

export const KeyParams = Type.Object({
  accountID: Type.String({ description: 'The account, a UUID.' }),
  keyID: Type.String({ description: 'The key, a UUID.' }),
});
export const ServerKeyParams = Type.Object({ keyID: Type.String({ description: 'The key, a UUID.' }) });

/** A response whose body is one of the named schemas, or a list of it. */
export function responseOf(status: number, description: string, name: string, list = false) {
  const schema = list ? Type.Array(Type.Ref(name)) : Type.Ref(name);
  return {
    [status]: {
      description,
      ...(list && {
        headers: {
          'X-Total-Count': { schema: { type: 'integer' }, description: 'How many there are in all.' },
          Link: { schema: { type: 'string' }, description: 'The next page, as rel="next", if there is one.' },
        },
      }),
      content: { 'application/json': { schema } },
    },
    ...COMMON_RESPONSES,
  };
}

/** That there is nothing to say, and what else the operation answers. */
export function emptyResponse(description: string) {
  return { 204: describeResponse(description), ...COMMON_RESPONSES };
}

export const CONFLICT = {
  409: {
    description: 'The state does not allow it.',
    content: { 'application/json': { schema: Type.Ref('GenericError') } },
  },
};

const oauth = (description: string) => ({
  description,
  content: { 'application/json': { schema: Type.Ref('OAuthError') } },
});

export const OAUTH_RESPONSES = {
  token: {
    ...responseOf(200, 'The tokens.', 'AuthToken'),
    400: oauth('The request, the scope or the refresh token is not good.'),
    401: oauth('Credentials are missing or not valid.'),
  },
  revoke: {
    ...emptyResponse('The token is no longer good, if it ever was.'),
    400: oauth('The request is malformed.'),
    401: oauth('Credentials are missing or not valid.'),
  },
};
