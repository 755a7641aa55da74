// Reads work as JSON on stdin and writes what came of it as JSON on stdout.
// Nothing here is Stile's own code run twice: tokens are read and issued by
// @sd-jwt/core and jose, and build() writes a record down from the package
// comment of internal/record alone.
import { createCipheriv, createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { SDJwtInstance } from '@sd-jwt/core'
import { compactVerify, importJWK } from 'jose'

const b64 = (data) => Buffer.from(data).toString('base64url')
const hasher = (data) => createHash('sha256').update(typeof data === 'string' ? data : Buffer.from(data)).digest()

// check reads an SD-JWT with @sd-jwt/core and its signed part with jose.
async function check({ token, jwk }) {
  const out = {}
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const core = new SDJwtInstance({
    hasher,
    verifier: (data, sig) =>
      verify('sha256', Buffer.from(data), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(sig, 'base64url')),
  })
  try {
    out.processed = (await core.verify(token)).payload
  } catch (e) {
    out.coreError = String(e.message)
  }
  try {
    const signed = await compactVerify(token.split('~')[0], await importJWK(jwk, 'ES256'), { algorithms: ['ES256'] })
    out.signed = JSON.parse(Buffer.from(signed.payload))
    out.header = signed.protectedHeader
  } catch (e) {
    out.joseError = String(e.message)
  }
  return out
}

// issue makes SD-JWTs with @sd-jwt/core: each whole, and with fields withheld.
async function issue() {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' }
  const core = new SDJwtInstance({
    signer: (data) => sign('sha256', Buffer.from(data), key).toString('base64url'),
    signAlg: 'ES256',
    hasher,
    hashAlg: 'sha-256',
    saltGenerator: (n) => randomBytes(n).toString('base64url'),
  })
  const claims = {
    iss: 'https://issuer.example',
    iat: 1764547200,
    name: 'Ada',
    none: null,
    address: { line: '1 Weir Lane', postcode: 'NM4 7QZ', geo: { lat: 51.5, lon: -0.25 } },
    household: [{ name: 'Bo', age: 9 }, { name: 'Cy', age: 7 }, 'guest'],
    tags: ['é', '"\\', '', '😀'],
  }
  const frames = [
    { frame: undefined, present: {} },
    { frame: { _sd: ['name', 'none'] }, present: { none: true } },
    { frame: { _sd: ['name', 'address'], _sd_decoy: 3 }, present: { address: true } },
    { frame: { address: { _sd: ['line', 'geo'], geo: { _sd: ['lat'] } } }, present: { address: { geo: { lat: true } } } },
    {
      frame: { _sd: ['address'], address: { _sd: ['line', 'geo'], geo: { _sd: ['lat', 'lon'] } } },
      present: { address: { geo: { lon: true } } },
    },
    { frame: { tags: { _sd: [0, 1, 2, 3], _sd_decoy: 2 } }, present: { tags: { 1: true, 3: true } } },
    {
      frame: { _sd: ['household'], household: { _sd: [0, 2], 0: { _sd: ['age'] } } },
      present: { household: { 0: { age: true } } },
    },
  ]
  const out = []
  for (const f of frames) {
    const whole = await core.issue(structuredClone(claims), f.frame)
    const part = await core.present(whole, f.present)
    const jwk = pair.publicKey.export({ format: 'jwk' })
    out.push({ jwk, claims, whole, part, visible: (await check({ token: part, jwk })).processed })
  }
  return out
}

// canonical is JSON with members in order. ECMAScript orders and escapes strings
// as RFC 8785 does; numbers come back as they were given when they are plain.
const canonical = (v) =>
  Array.isArray(v)
    ? `[${v.map(canonical).join(',')}]`
    : v !== null && typeof v === 'object'
      ? `{${Object.keys(v).sort().map((k) => `${JSON.stringify(k)}:${canonical(v[k])}`).join(',')}}`
      : JSON.stringify(v)

const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v)

// build writes a record down: header, payload and disclosures.
function build({ claims, kid, layout, body, seed }) {
  const disclosures = []
  const shell = (l) =>
    l.open || (l.elements && shell(l.elements)) || Object.values(l.members ?? {}).some(shell)
  const fits = (v, l) => (isObject(v) && l.members) || (Array.isArray(v) && l.elements)
  const clear = (v, l) => l.open || (fits(v, l) && shell(l))
  const member = (l, k) => l.members?.[k] ?? { open: l.open }

  const inside = (v, l) => {
    if (!fits(v, l)) return v
    if (Array.isArray(v))
      return v.map((e) => (clear(e, l.elements) ? inside(e, l.elements) : { '...': hide([], e, l.elements) }))
    const out = {}
    const names = Object.keys(v).sort()
    const sd = []
    for (const k of names) if (!clear(v[k], member(l, k))) sd.push(hide([k], v[k], member(l, k)))
    if (sd.length) out._sd = sd.sort()
    for (const k of names) if (clear(v[k], member(l, k))) out[k] = inside(v[k], member(l, k))
    return out
  }
  const hide = (key, v, l) => {
    const place = disclosures.push(null) - 1
    const counter = Buffer.alloc(16)
    counter.writeUInt32BE(place, 12)
    const aes = createCipheriv('aes-256-ctr', Buffer.from(seed, 'hex'), counter)
    const salt = aes.update(Buffer.alloc(16)).toString('base64url')
    disclosures[place] = b64(canonical([salt, ...key, inside(v, l)]))
    return hasher(disclosures[place]).toString('base64url')
  }

  const payload = { _sd_alg: 'sha-256', ...claims }
  // The record itself is in clear, its members decided one by one.
  if (body) payload.body = inside(body, { ...layout, members: layout.members ?? {} })
  const header = { alg: 'ES256', kid, typ: 'stile-record+sd-jwt' }
  return { input: `${b64(canonical(header))}.${b64(canonical(payload))}`, disclosures }
}

let text = ''
for await (const chunk of process.stdin) text += chunk
const work = JSON.parse(text)
process.stdout.write(JSON.stringify({
  checked: await Promise.all((work.check ?? []).map(check)),
  built: (work.build ?? []).map(build),
  issued: work.issue ? await issue() : [],
}))
