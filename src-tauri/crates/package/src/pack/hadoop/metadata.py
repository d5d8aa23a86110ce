"""Tells pip the name and version of a source archive, out of its PKG-INFO. Nothing of the archive is run."""
import os
import shutil


class Backend:
    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        with open("PKG-INFO", encoding="utf-8") as file:
            lines = [line.rstrip().split(": ", 1) for line in file if line.startswith(("Name: ", "Version: "))]
        said = dict(lines)
        folder = said["Name"] + "-" + said["Version"] + ".dist-info"
        os.mkdir(os.path.join(metadata_directory, folder))
        shutil.copyfile("PKG-INFO", os.path.join(metadata_directory, folder, "METADATA"))
        return folder


__legacy__ = Backend()
