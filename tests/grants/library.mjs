// What Shopify's own library for JavaScript says of what is on standard input, and what it signs itself.
import '@shopify/shopify-api/adapters/node';
import { ApiVersion, shopifyApi } from '@shopify/shopify-api';
import { RequestType, getHmac, setUpValidRequest } from '@shopify/shopify-api/test-helpers';
import { HashFormat, createSHA256HMAC } from '@shopify/shopify-api/runtime';
import { SignJWT } from 'jose';

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { id, secret, queries, proxies, tokens, body, signature } = JSON.parse(input);
const shopify = shopifyApi({
  apiKey: id,
  apiSecretKey: secret,
  hostName: 'tandem.example.org',
  apiVersion: Object.values(ApiVersion).at(-1),
  isEmbeddedApp: true,
  logger: { level: 0 },
});
const tried = async (attempt) => {
  try {
    return (await attempt()) !== false;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
const pairs = (query) => Object.fromEntries(new URLSearchParams(query));
const all = (list, attempt) => Promise.all(list.map((one) => tried(() => attempt(one))));
const rawRequest = {
  method: 'POST',
  url: '/webhooks',
  headers: {
    'x-shopify-hmac-sha256': signature,
    'x-shopify-topic': 'customers/update',
    'x-shopify-shop-domain': 'acme.myshopify.com',
    'x-shopify-api-version': '2026-07',
    'x-shopify-webhook-id': 'b54557e4-bdd9-4b37-8a5f-bf7d70bcd043',
  },
};
const { IncomingMessage } = await import('node:http');
const request = Object.assign(new IncomingMessage(null), rawRequest);
const now = Math.trunc(Date.now() / 1000);
const query = `code=0907a61c&host=YWRtaW4&shop=acme.myshopify.com&state=0.6784&timestamp=${now}`;
const claims = {
  iss: 'https://acme.myshopify.com/admin',
  dest: 'https://acme.myshopify.com',
  aud: id,
  sub: '42',
  exp: now + 60,
  nbf: now,
  iat: now,
  jti: 'f8912129-1af6-4cad-9ca3-76b0f7621087',
  sid: 'aaea182f2732d44c23057c0fea584021a4485b2bd25d3eb7fd349313ad24c685',
};
const proxied = await setUpValidRequest(
  { type: RequestType.Public, store: 'acme', apiSecretKey: secret },
  new Request('https://tandem.example.org/storefront/main?path_prefix=%2Fapps%2Fcx&logged_in_customer_id=7'),
);
const answer = {
  queries: await all(queries, (one) => shopify.utils.validateHmac(pairs(one))),
  proxies: await all(proxies, (one) => shopify.utils.validateHmac(pairs(one), { signator: 'appProxy' })),
  tokens: await all(tokens, (one) => shopify.session.decodeSessionToken(one)),
  webhook: (await shopify.webhooks.validate({ rawBody: body, rawRequest: request })).valid,
  own: {
    query: `${query}&hmac=${await createSHA256HMAC(secret, query, HashFormat.Hex)}`,
    proxy: new URL(proxied.url).search.slice(1),
    token: await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(Buffer.from(secret)),
    signature: getHmac(body, secret),
  },
};
console.log(JSON.stringify(answer));
