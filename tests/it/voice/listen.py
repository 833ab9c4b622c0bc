"""A recogniser for the tests: espeak-ng speaks, pocketsphinx listens, behind OpenAI's endpoint.

`listen.py speak TEXT FILE` writes speech as a WAV file. `listen.py serve` serves on a free port, which it prints, and then
a line for each recording that it has heard.
"""

import ctypes
import http.server
import io
import json
import re
import struct
import sys
import wave

RATE = 16000
# A grammar makes a small model sure of what it hears; the words are still told apart by their sound.
GRAMMAR = """#JSGF V1.0;
grammar said;
<who> = monica | thank you monica;
<what> = we need a new server tomorrow | the new server is down today | what is two and two;
public <said> = [<who>] <what>;
"""


def speak(text, path):
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    spoken = []

    def took(samples, count, _events):
        if samples and count > 0:
            spoken.extend(samples[:count])
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(took)
    rate = library.espeak_Initialize(1, 0, espeakng_loader.get_data_path().encode(), 0)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_SetParameter(1, 120, 0)
    words = text.encode()
    library.espeak_Synth(words, len(words) + 1, 0, 0, 0, 1, None, None)
    library.espeak_Synchronize()
    heard = [spoken[int(at * rate / RATE)] for at in range(int(len(spoken) * RATE / rate))]
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{len(heard)}h", *heard))


class Listener(http.server.BaseHTTPRequestHandler):
    decoder = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = re.search(r"boundary=(\S+)", self.headers["Content-Type"])[1].encode()
        fields = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, value = part[2:-2].partition(b"\r\n\r\n")
            fields[re.search(rb'name="([^"]+)"', head)[1].decode()] = value
        with wave.open(io.BytesIO(fields["file"])) as file:
            sound = file.readframes(file.getnframes())
        self.decoder.start_utt()
        self.decoder.process_raw(sound, full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp().hypstr if self.decoder.hyp() else ""
        answer = json.dumps({"text": heard}).encode()
        self.send_response(200 if self.path == "/v1/audio/transcriptions" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print(f"{fields['model'].decode()} {self.headers.get('Authorization')} {heard}", flush=True)

    def log_message(self, *_):
        pass


def serve():
    import pocketsphinx

    Listener.decoder = pocketsphinx.Decoder(samprate=RATE, lm=None, loglevel="FATAL")
    Listener.decoder.add_jsgf_string("said", GRAMMAR)
    Listener.decoder.activate_search("said")
    server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if sys.argv[1] == "speak":
    speak(*sys.argv[2:])
else:
    serve()
