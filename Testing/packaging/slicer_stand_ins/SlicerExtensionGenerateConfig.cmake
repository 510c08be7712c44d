# Stand-in: Slicer's own writes <Extension>Config.cmake for extensions that build on this one. None does.
