"""A desktop's notifications: takes those of the session bus, and writes each as a line of JSON."""
import json

from gi.repository import Gio, GLib

INTERFACE = Gio.DBusNodeInfo.new_for_xml(
    """<node><interface name="org.freedesktop.Notifications">
    <method name="Notify">
      <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
      <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
      <arg type="a{sv}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
    </method>
    <method name="CloseNotification"><arg type="u" direction="in"/></method>
    <method name="GetCapabilities"><arg type="as" direction="out"/></method>
    <method name="GetServerInformation">
      <arg type="s" direction="out"/><arg type="s" direction="out"/>
      <arg type="s" direction="out"/><arg type="s" direction="out"/>
    </method>
    <signal name="ActionInvoked"><arg type="u"/><arg type="s"/></signal>
    <signal name="NotificationClosed"><arg type="u"/><arg type="u"/></signal>
    </interface></node>"""
).interfaces[0]
PATH = "/org/freedesktop/Notifications"
shown = 0


def called(_connection, _sender, _path, _interface, method, parameters, invocation):
    global shown
    answer = None
    if method == "Notify":
        application, _replaces, _icon, title, body, actions = parameters.unpack()[:6]
        shown += 1
        told = {"application": application, "title": title, "body": body, "actions": actions}
        print(json.dumps(told), flush=True)
        answer = GLib.Variant("(u)", (shown,))
    elif method == "GetCapabilities":
        answer = GLib.Variant("(as)", (["body", "actions"],))
    elif method == "GetServerInformation":
        answer = GLib.Variant("(ssss)", ("test", "test", "1", "1.2"))
    invocation.return_value(answer)


def there(connection, _name):
    connection.register_object(PATH, INTERFACE, called, None, None)
    print("ready", flush=True)


Gio.bus_own_name(
    Gio.BusType.SESSION, "org.freedesktop.Notifications", Gio.BusNameOwnerFlags.NONE, there, None, None
)
GLib.MainLoop().run()
