"""What every wing uses: errors, files, devices, processes, the terminal."""
