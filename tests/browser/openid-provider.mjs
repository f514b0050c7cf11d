// A certified OpenID provider with one client. Its development pages accept any name and password.
// `local-stack` starts and stops it.
import { createRequire } from 'node:module';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const { BROWSER_MODULES, ISSUER, PORT, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI } = process.env;
const require = createRequire(`${BROWSER_MODULES}/`);
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(ISSUER, {
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  // The user ada has the verified address ada@example.com. Addresses of names that begin with "un"
  // are not verified.
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: id.charAt(0).toUpperCase() + id.slice(1),
      email: `${id}@example.com`,
      email_verified: !id.startsWith('un'),
    }),
  }),
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  conformIdTokenClaims: false,
  cookies: { keys: [randomBytes(24).toString('hex')] },
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256', kid: 'tests' }] },
  pkce: { required: () => true },
});

provider.on('server_error', (_context, error) => console.error('server error', error));
provider.on('authorization.error', (_context, error) => console.error('authorization', error.message, error.error_description));
provider.on('grant.error', (_context, error) => console.error('grant', error.message, error.error_description));
provider.listen(Number(PORT), '127.0.0.1');
