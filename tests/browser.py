"""browser.py - a real browser for tests: headless Chromium, driven through its DevTools protocol on a pipe.

No library and no port: Chromium reads commands from file descriptor 3 and writes answers to 4: JSON and a zero byte.
"""
import base64
import json
import os
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
           "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--disable-extensions",
           "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe"]
SECONDS = 30  # until an answer is given up


class Browser:
    """One page of one browser. `events`: what it has reported so far, in order."""

    def __init__(self, profile):
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()

        def place():  # in the new process, where the two ends must be 3 and 4
            ends = os.dup(to_read), os.dup(to_write)
            for number, end in zip((3, 4), ends):
                os.dup2(end, number)

        self.process = subprocess.Popen([CHROMIUM, *OPTIONS, f"--user-data-dir={profile}"], preexec_fn=place,
                                        close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read), os.close(to_write)
        self.events, self.number, self.rest, self.session = [], 0, b"", None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The result of a DevTools command; a test fails where the browser refuses it, or says nothing."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.next_message()
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def next_message(self):
        end = time.monotonic() + SECONDS
        while b"\0" not in self.rest:
            assert self.process.poll() is None and time.monotonic() < end, "the browser has ended, or hangs"
            self.rest += os.read(self.back, 1 << 20)
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def run(self, script):
        """The value of a JavaScript expression in the page; of a promise, what it resolves to."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, url):
        """Load a page, until it says that it is ready."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.wait("document.body && document.body.dataset.ready === 'yes'")

    def wait(self, condition, seconds=SECONDS):
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never came true in the page: {condition}; {self.complaints()}"
            time.sleep(0.02)

    def press(self, key):
        """A key of a keyboard, such as ArrowRight, to what has the focus."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Tab": 9,
                "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key)  # what makes a press of it a click on a button
        for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code="Space" if key == " " else key,
                      windowsVirtualKeyCode=code, **({"text": text} if text and kind == "keyDown" else {}))

    def screenshot(self, width, height, scale=1):
        """PNG bytes of the page's top, width x height CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=False)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def requests(self):
        """Addresses that the page has asked for."""
        return [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]

    def complaints(self):
        """What went wrong in the page: exceptions, and lines of its console."""
        return [event["params"] for event in self.events
                if event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled")]

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        os.close(self.to), os.close(self.back)
