// A client of all five calls: text, a whole image, fragments, and both bidirectional streams.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { pipeline } = require('node:stream');
const { parseArgs, promisify } = require('node:util');

let grpc, protoLoader, protobuf;
try {
  grpc = require('@grpc/grpc-js');
  protoLoader = require('@grpc/proto-loader');
  protobuf = require('protobufjs');
} catch {
  fail(`Faltan los paquetes de Node.js: ejecute «npm ci --prefix ${__dirname}».`);
}

// grpc-js sends the server's name in the TLS handshake even if it is an IP address, of which Node.js warns.
process.noDeprecation = true;

const USAGE = `node client_node.js [--address HOST:PUERTO] [--timeout SEGUNDOS]
    [--tls] [--ca FICHERO] [--cert FICHERO --key FICHERO] [IMAGEN]`;

const { env } = process;
const options = readArguments();
const imagePath = options.image || env.CONEXIONES_IMAGE || path.join(__dirname, 'image', 'elephant.jpg');
const address = options.address || env.CONEXIONES_ADDRESS || 'localhost:50051';
// No argument has the token, because lists of processes show arguments.
const token = (env.CONEXIONES_TOKEN || (env.CONEXIONES_TOKEN_FILE ? String(read(env.CONEXIONES_TOKEN_FILE)) : '')).trim();
const timeout = Number(options.timeout || env.CONEXIONES_TIMEOUT || 60) * 1000;

const FRAGMENT_BYTES = 64 * 1024;
// A call without an image takes no longer than this, unless nobody answers at all.
const textTimeout = Math.min(timeout, 10_000);

const proto = path.join(__dirname, '..', 'proto', 'user.proto');
const definition = protoLoader.loadSync(proto, { keepCase: true, longs: String, defaults: true });
const { UsuarioServicio } = grpc.loadPackageDefinition(definition).user;

// The parts of google/rpc/status.proto and error_details.proto that are needed to read the details of an error.
const { root: rpc } = protobuf.parse(
  `syntax = "proto3"; package google.rpc;
   message Status { repeated Any details = 3; }
   message Any { string type_url = 1; bytes value = 2; }
   message ErrorInfo { string reason = 1; }
   message LocalizedMessage { string message = 2; }`,
  { keepCase: true },
);

async function text(client) {
  const getUser = promisify(client.GetUser).bind(client);
  const reply = await getUser({ name: 'Ada', pow: 12 }, within(textTimeout));
  console.log(`   ${reply.message}`);
  try {
    await getUser({ name: '' }, within(textTimeout));
  } catch (error) {
    console.log(`   Error provocado: ${faultOf(error)}`);
  }
}

async function wholeImage(client) {
  const request = { name: 'Ada', image: read(imagePath) };
  const reply = await promisify(client.ProcessImage).call(client, request, within(timeout));
  console.log(`   ${reply.message}`);
}

async function fragments(client) {
  async function* messages() {
    const file = fs.createReadStream(imagePath, { highWaterMark: FRAGMENT_BYTES });
    for await (const image of file) yield { image };
  }
  const reply = await new Promise((resolve, reject) => {
    const call = client.GetStreamImage(within(timeout), (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
    // When write() returns false, pipeline() waits for 'drain' before it reads on. So only a few fragments are in
    // memory, whatever the size of the image and the speed of the server.
    pipeline(messages, call, (error) => {
      if (!error) return;
      reject(error);
      call.cancel();
    });
  });
  console.log(`   ${reply.message}`);
}

async function streamOfImages(client) {
  function* images() {
    // The text between the two images is refused in its reply, and the stream goes on.
    for (const file of [imagePath, __filename, imagePath]) {
      console.log(`   → ${path.basename(file)}`);
      yield { image: read(file) };
    }
  }
  for await (const reply of inTurns(client.ImageStreamReply(within(timeout)), images())) {
    console.log(`   ← ${reply.message}`);
    if (reply.error) console.log(`     Error: ${faultOf(reply.error)}`);
  }
}

async function streamOfUsers(client) {
  function* users() {
    for (const user of [
      { name: 'Ada', pow: 12, image: read(imagePath) },
      { name: 'Luis', pow: -7 },
      { name: 'Eva', pow: 50000 }, // the square does not fit into the reply's 32 bits
    ]) {
      console.log(`   → ${user.name}`);
      yield user;
    }
  }
  for await (const reply of inTurns(client.GetUserBidiStream(within(timeout)), users())) {
    const { name, pow, image } = reply;
    console.log(`   ← ${name}: pow al cuadrado ${pow}, vista previa de ${image.length} bytes`);
    for (const error of reply.errors) console.log(`     Error: ${faultOf(error)}`);
  }
}

// Sends a request, yields its reply, and sends the next. So at most one request is buffered.
async function* inTurns(call, requests) {
  const send = () => {
    const { value, done } = requests.next();
    if (done) call.end();
    else call.write(value);
  };
  send();
  for await (const reply of call) {
    yield reply;
    send();
  }
}

function within(milliseconds) {
  return { deadline: Date.now() + milliseconds };
}

// The service's error of a failed call, or of one message of a stream that goes on: code, reason and sentence.
// Undefined if there is none, because the call did not reach the service or got no answer.
function faultOf(error) {
  const [status] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = status ? rpc.lookupType('google.rpc.Status').decode(status).details : error.details;
  if (!Array.isArray(details)) return undefined;
  const read = (name) => {
    const detail = details.find(({ type_url }) => type_url.endsWith(`/${name}`));
    return detail && rpc.lookupType(name).decode(detail.value);
  };
  const reason = read('google.rpc.ErrorInfo')?.reason;
  return reason && `${grpc.status[error.code]} ${reason}: ${read('google.rpc.LocalizedMessage')?.message}`;
}

// Translates the errors of gRPC and Node.js, if the service did not answer, into what the user can do about it.
function noAnswer(error) {
  const details = error.details || error.message;
  if (/^ERR_OSSL/.test(error.code)) {
    return 'Los ficheros de --ca, --cert y --key no son PEM válidos o no van juntos.';
  }
  if (error.code === grpc.status.DEADLINE_EXCEEDED) return `El servidor ${address} no respondió a tiempo.`;
  if (error.code !== grpc.status.UNAVAILABLE) return `La llamada a ${address} falló: ${details}`;
  if (/ALTNAME/.test(details)) return `El certificado del servidor no es para ${address}.`;
  if (/wrong version number/.test(details)) {
    return `El servidor ${address} no usa TLS: quite --tls, --ca, --cert y --key.`;
  }
  if (/alert|Failed to connect|ECONNRESET/.test(details)) {
    return (
      `El servidor ${address} cerró la conexión: quizá exige TLS (--ca) o un certificado de cliente` +
      ' (--cert y --key).'
    );
  }
  if (/certificate/.test(details)) {
    return `No se acepta el certificado de ${address}: indique su CA con --ca.`;
  }
  return `No se puede conectar con ${address}: ¿está en marcha el servidor?`;
}

function readArguments() {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const flags = { address: text, timeout: text, tls: flag, ca: text, cert: text, key: text, help: flag };
  try {
    const { values, positionals } = parseArgs({ options: flags, allowPositionals: true });
    if (values.help) {
      console.log(USAGE);
      process.exit();
    }
    return { ...values, image: positionals[0] };
  } catch {
    return fail(USAGE);
  }
}

function connect() {
  const file = (name) => options[name] || env[`CONEXIONES_${name.toUpperCase()}`];
  const [ca, key, cert] = ['ca', 'key', 'cert'].map(file);
  if (!cert !== !key) fail('Indique --cert y --key juntos.');
  if (token && !/^[\w.~+/=-]+$/.test(token)) fail('CONEXIONES_TOKEN no es un token: tiene espacios u otros caracteres que no valen.');
  const settings = { interceptors: token ? [withToken] : [] };
  if (!options.tls && !isTrue(env.CONEXIONES_TLS) && !ca && !cert) {
    if (token && !isNear(address) && !isTrue(env.CONEXIONES_INSECURE_TOKEN)) {
      fail(`El token iría sin cifrar a ${address}: indique --tls o --ca.`);
    }
    if (token) settings['grpc.enable_http_proxy'] = 0; // a proxy would read it
    return new UsuarioServicio(address, grpc.credentials.createInsecure(), settings);
  }
  // Without a CA of its own, the certificate of the server must come from one of the system's.
  const security = grpc.credentials.createSsl(...[ca, key, cert].map((path) => (path ? read(path) : null)));
  return new UsuarioServicio(address, security, settings);
}

// Sends the token with a call.
function withToken(call, next) {
  return new grpc.InterceptingCall(next(call), {
    start(metadata, listener, start) {
      metadata.set('authorization', `Bearer ${token}`);
      start(metadata, listener);
    },
  });
}

// Whether what is sent to the address does not leave this machine.
function isNear(address) {
  const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host.toLowerCase() === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));
}

function isTrue(value) {
  return ['1', 'true', 'yes'].includes(value?.toLowerCase());
}

function read(file) {
  try {
    return fs.readFileSync(file);
  } catch ({ code }) {
    const problems = { ENOENT: 'no existe', EISDIR: 'es una carpeta', EACCES: 'no hay permiso' };
    return fail(`No se puede usar ${file}: ${problems[code] ?? code}.`);
  }
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

// What is wrong with the address, if it is a URL, as of a browser.
function wrongAddress() {
  const [, scheme, host] = /^([^:]*):\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(address) ?? [];
  if (scheme === undefined) return undefined;
  const place = /:\d+$/.test(host) ? host : `${host || 'localhost'}:50051`;
  const tls = ['https', 'grpcs'].includes(scheme.toLowerCase()) ? ' y --tls' : '';
  return `La dirección ${address} es una URL: indique HOST:PUERTO, por ejemplo --address ${place}${tls}.`;
}

async function main() {
  // Whoever read the output has gone, as in «client_node.js | head».
  process.stdout.on('error', ({ code }) => process.exit(code === 'EPIPE' ? 1 : 2));
  if (!(timeout > 0)) fail('--timeout es un número de segundos.');
  const wrong = wrongAddress();
  if (wrong) fail(wrong);
  const file = fs.statSync(imagePath, { throwIfNoEntry: false });
  if (!file?.isFile()) fail(`No hay ninguna imagen en ${imagePath}: indique otra como primer argumento.`);
  // In the message of GetUser, no bytes would mean that there is no image.
  if (!file.size) fail(`INVALID_ARGUMENT EMPTY_IMAGE: La imagen ${imagePath} está vacía.`);
  const client = connect();
  const techniques = [
    ['Texto (GetUser)', text],
    ['Imagen completa (ProcessImage)', wholeImage],
    ['Imagen por fragmentos (GetStreamImage)', fragments],
    ['Flujo bidireccional: dos imágenes y entre ellas un texto (ImageStreamReply)', streamOfImages],
    ['Flujo bidireccional: tres usuarios, el último con un pow excesivo (GetUserBidiStream)', streamOfUsers],
  ];
  for (const [index, [title, technique]] of techniques.entries()) {
    console.log(`${index + 1}. ${title}`);
    try {
      await technique(client);
    } catch (error) {
      const fault = faultOf(error);
      if (!fault) throw error; // the server did not answer, so the remaining calls would fail too
      console.error(`   Error: ${fault}`);
      process.exitCode = 1;
    }
  }
  client.close();
}

main().catch((error) => fail(noAnswer(error)));
